from transformers import CLIPTokenizer

from mti.pocket import train_ldm
from mti.pocket.stage import WEIGHTS


def test_captions_as_tokens_leave_no_trace_in_the_tokenizer_that_is_shipped(tmp_path, monkeypatch):
    monkeypatch.setattr(train_ldm, "PICTURES", 3)
    tokenizer = CLIPTokenizer.from_pretrained(WEIGHTS / "ldm" / "tokenizer")
    ids = train_ldm.caption_tokens(tokenizer, tmp_path)
    assert ids.shape == (3, train_ldm.CAPTIONS_EACH, train_ldm.CONTEXT)
    assert set(ids[:, :, 0].flatten().tolist()) == {tokenizer.bos_token_id}
    assert (tokenizer.backend_tokenizer.truncation, tokenizer.backend_tokenizer.padding) == (None, None)
