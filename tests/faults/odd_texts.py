"""Texts that are odd as overrides, names of files, clicks, prompts, and lines of a configuration."""

from __future__ import annotations

GRAMMAR = (
    *("=", "=x", "==", "seed", "seed==1", "seed=1=2", "seed=[", "seed={", "seed=(", "seed='", 'seed="', "seed=[1,2"),
    *("+seed=1", "++sed=1", "+new.key=1", "~seed", "~image", "~nothing", "~init", "~model", "-x", "--nonsense"),
    *("seed=$(", "seed=`id`", "seed=a b c", "seed=a:b", "seed=\\", "seed='a", "seed=}", "seed=a,b", "image=a,b"),
    *("training=", "training=null", "training=x", "training.=1", ".training=1", "training..flip=true", "seed.x=1"),
    *("hydra=x", "hydra.mode=x", "hydra.verbose=[1", "hydra.run.dir=", "hydra/launcher=none", "hydra/sweeper=x"),
    *("init@x=star", "model@=pocket", "init=star@x", "metrics=lpips", "metrics=[lpips", "metrics=[a,b]", "@=1"),
    *("seed=range(3)", "seed=choice(1,2)", "seed=interval(0,1)", "seed=glob(*)", "seed=sort(2,1)", "seed=int(x)"),
    *("seed=oc.env:X", "seed=${oc.env:NOT_SET}", "seed=${", "seed=${}", "seed=${seed}", "seed=${image}", "seed=???"),
    *("image=???", "-m", "--multirun", "--config-name=x", "--config-dir=/nowhere", "--config-path=x", "-cn", "--cfg"),
    *("--experimental-rerun=x", "-sc", "--shell-completion", "--info=x", "--resolve", "--package=x", "--cfg=x"),
    *("evaluation.steps=[0,,1]", "evaluation.steps=[0 1]", "evaluation.steps=0,1", "evaluation.prompts=a {}"),
    *("evaluation.prompts=[a {}]", "evaluation.prompts=[a]", "evaluation.prompts=[]", "personalization.prompts=[]"),
)


NAMES = (
    *("Tasse grün.png", "茶壶.png", "it's.png", 'say "cheese".png', "mug (1), red=2.png", "[old] cup.png", "#1.png"),
    *("a,b.png", "a=b.png", "$HOME.png", "${x}.png", "{a}.png", "(b).png", "%41.png", "a&b;c|d.png", "new\nline.png"),
    *("tab\t.png", " lead.png", "trail .png", "🫖.png", "é.png", "e\u0301.png", "ز.png", "\u200b.png", "a\\b.png"),
    *("01.png", "no.png", "null.png", "1e3.png", "-m.png", "~a.png", "UPPER.PNG", "a..b.png", ".hidden.png", "*.png"),
    *("glob(*).png", "IMG_2041.png", "x" * 200 + ".png", "<a>.png", "a b  c.png", "ß.png", "`id`.png", "!x.png"),
)


CLICKS = (
    *("[32,32]", "[0,0]", "[1e9,1]", "[-1,3]", "[1]", "[1,2,3]", "[]", "[[]]", "[[1,2],[3]]", "[a,b]", "[nan,1]"),
    *("[inf,1]", "[true,1]", "[null,1]", "5", "x", "recorded", "Recorded", "null", "{x: 1, y: 2}", "[[1,2],[3,4]]"),
    *("[1.5,2.5]", "[[1,2],3]", "1,2", "(1,2)", "[300,300]", "[0.0,-0.0]", "['1','2']", "[1,2", "[[[1,2]]]", ""),
)


PROMPTS = (
    *(
        "ends with a backslash {} \\",
        "{}",
        "a {} {}",
        "no slot",
        "",
        " ",
        "{",
        "}",
        "{ }",
        "{0}",
        "a {} ' b",
        'a {} " b',
    ),
    *(
        "a {}, b",
        "a {}=b",
        "[a {}]",
        "(a {})",
        "glob({})",
        "${x} {}",
        "#{}",
        "{}\n",
        "茶 {}",
        "\u200b{}",
        "-m {}",
        "{}%",
    ),
    *("x" * 500 + "{}", "a {} " * 60, "<|endoftext|> {}", "null {}", "'a {}'", '"a {}"', "'a {}", "a {}\\'", "{}\\\\"),
)


SENT = {
    "model: {_target_: os.system, command: 'touch owned'}": "model",
    "model: {_target_: torch.load, f: x, weights_only: false}": "model",
    "choices: {model: ../../x}": "choices",
    "choices: {model: 'pocket,x'}": "choices",
    "choices: [1]": "choices",
    "choices: {model: null}": "choices",
    "model: ${oc.env:HOME}": "model",
    "model: 5": "model",
    "evaluation: {guidance_scale: x}": "evaluation",
    "evaluation: {prompts: [1, {a: 2}]}": "evaluation",
    "evaluation: {sampler: ${oc.env:HOME}}": "evaluation",
    "evaluation: null": "evaluation",
    "evaluation: {steps: [a]}": "evaluation",
    "evaluation: {nonsense: 1}": "evaluation",
    "seed: x": "seed",
    "seed: [1]": "seed",
    "seed: null": "seed",
    "image: !!python/object/apply:os.system ['touch owned']": "image",
    "image: &a [*a]": "image",
    "experiment: {name: ../../x}": "experiment",
    "experiment: 7": "experiment",
    "init: {name: '<script>'}": "init",
    "init: [star]": "init",
    "trainer: {max_steps: -5}": "trainer",
    "trainer: {max_steps: x}": "trainer",
}
