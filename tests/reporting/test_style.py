import pytest

from mti.reporting.style import apart, better, colors, metric_name, step_text


def test_the_pockets_scores_are_never_called_the_papers():
    assert metric_name("eval/lpips") == "LPIPS"
    assert metric_name("eval/lpips_pocket") == "LPIPS (pocket)"
    assert metric_name("eval/brightness_pocket") == "brightness (pocket)"
    assert (better("eval/sifid_pocket"), better("eval/clip_i"), better("eval/brightness")) == (
        *("lower is better", "higher is better", ""),
    )


def test_colors_stay_with_their_initializers_and_are_never_shared():
    few, many = colors(["caption"]), colors(["text", "caption", "text lr-1", "star"])
    assert few["caption"] == many["caption"]
    assert len(set(many.values())) == 4


@pytest.mark.parametrize(
    ("places", "moved"),
    [
        ([], []),
        ([1.0, 5.0], [1, 5]),
        ([1.0, 1.0], [0.5, 1.5]),
        ([1.0, 1.2, 1.4, 9.0], [0.2, 1.2, 2.2, 9]),
        ([0.0, 0.9, 1.8], [-0.1, 0.9, 1.9]),
    ],
)
def test_labels_are_moved_apart_no_more_than_need_be(places, moved):
    assert apart(places, 1.0) == pytest.approx(moved)


def test_steps_in_words():
    assert [step_text(value) for value in (None, float("inf"), 0.0, 0.66, 12.3, 1218.0)] == [
        *("not within the run", "not within the run", "0", "0.7", "12", "1,218"),
    ]
