import numpy as np
import pytest

from cmodel.data import prepare
from cmodel.errors import DataError, LimitError
from cmodel.net import InputTransform

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (2, 8, 6, 3), dtype=np.uint8)
GRAY = RNG.integers(0, 256, (2, 8, 6), dtype=np.uint8)
PLAIN = InputTransform()


def test_colour_reaches_the_net_as_bgr():
    x = prepare(COLOUR, PLAIN, (1, 3, 8, 6))
    assert x.dtype == np.float32
    assert x.flags.c_contiguous
    assert np.array_equal(x, np.moveaxis(COLOUR[..., ::-1], 3, 1))


def test_or_as_rgb():
    x = prepare(COLOUR, InputTransform(channel_order="rgb"), (1, 3, 8, 6))
    assert np.array_equal(x, np.moveaxis(COLOUR, 3, 1))


def test_gray_is_repeated_for_three_channels():
    x = prepare(GRAY, PLAIN, (1, 3, 8, 6))
    assert all(np.array_equal(x[:, c], GRAY) for c in range(3))


def test_colour_turns_gray_for_one_channel():
    x = prepare(np.full((1, 2, 2, 3), (255, 0, 0), dtype=np.uint8), PLAIN, (1, 1, 2, 2))
    assert np.array_equal(x, np.full((1, 1, 2, 2), 76))


def test_the_order_gray_holds_for_three_channels_too():
    x = prepare(COLOUR, InputTransform(channel_order="gray"), (1, 3, 8, 6))
    assert np.array_equal(x[:, 0], x[:, 2])
    assert np.array_equal(x[:, :1], prepare(COLOUR, PLAIN, (1, 1, 8, 6)))


def test_mean_values_are_in_the_order_fed():
    x = prepare(COLOUR, InputTransform(mean_values=(1, 2, 3)), (1, 3, 8, 6))
    blue_green_red = np.moveaxis(COLOUR[..., ::-1], 3, 1).astype(np.float32)
    assert np.array_equal(x, blue_green_red - np.float32([1, 2, 3])[:, None, None])


def test_scale_comes_after_the_mean():
    transform = InputTransform(mean_values=(100,), scale=(0.5, 1, 2), channel_order="rgb")
    x = prepare(COLOUR, transform, (1, 3, 8, 6))
    assert x[0, 2, 0, 0] == (float(COLOUR[0, 0, 0, 2]) - 100) * 2


def test_the_crop_is_central_and_rounds_down():
    x = prepare(GRAY, InputTransform(crop=(5, 3)), (1, 1, 5, 3))
    assert np.array_equal(x[:, 0], GRAY[:, 1:6, 1:4])


def test_the_mean_image_is_indexed_before_the_crop():
    mean = RNG.random((1, 8, 6), dtype=np.float32)
    x = prepare(GRAY, InputTransform(crop=(4, 4), mean_image=mean), (1, 1, 4, 4))
    assert np.array_equal(x[:, 0], GRAY[:, 2:6, 1:5] - mean[0, 2:6, 1:5])


def test_resize_comes_before_crop_and_mean():
    mean = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    image = np.full((1, 9, 5), 50, dtype=np.uint8)
    x = prepare(image, InputTransform(resize=(4, 4), crop=(2, 2), mean_image=mean), (1, 1, 2, 2))
    assert np.array_equal(x[0, 0], 50 - mean[0, 1:3, 1:3])


def test_images_of_different_sizes_meet_after_resize():
    small, large = np.full((4, 4, 3), 9, np.uint8), np.full((11, 7, 3), 9, np.uint8)
    x = prepare([small, large], InputTransform(resize=(5, 5)), (1, 3, 5, 5))
    assert np.array_equal(x, np.full((2, 3, 5, 5), 9))


def test_a_list_equals_a_stack():
    assert np.array_equal(prepare(list(COLOUR), PLAIN, None), prepare(COLOUR, PLAIN, None))


def test_floats_are_fed_as_they_are():
    fed = RNG.random((2, 3, 8, 6), dtype=np.float32)
    assert np.array_equal(prepare(fed, InputTransform(scale=(2,), crop=(1, 1)), (9, 3, 8, 6)), fed)


def test_without_a_declared_input_images_stay_as_they_come():
    assert prepare(COLOUR, PLAIN).shape == (2, 3, 8, 6)
    assert prepare(GRAY, PLAIN).shape == (2, 1, 8, 6)
    with pytest.raises(DataError, match=r"comes out as 1x2x2.*1x8x6"):
        prepare([GRAY[0], np.zeros((2, 2), np.uint8)], PLAIN)


@pytest.mark.parametrize(
    ("transform", "shape", "words"),
    [
        (PLAIN, (1, 3, 4, 4), r"`cat.jpg` has 8x6 pixels, the net takes 4x4"),
        (InputTransform(crop=(5, 5)), (1, 3, 4, 4), r"after resize and crop: 5x5"),
        (
            InputTransform(crop=(9, 6)),
            (1, 3, 9, 6),
            r"`cat.jpg` has 8x6 pixels, less than the crop",
        ),
        (PLAIN, (1, 4, 8, 6), r"4 channels"),
        (PLAIN, (1, 144), r"the net's input is 1x144"),
        (InputTransform(scale=(1, 2)), (1, 3, 8, 6), r"2 scales for 3 channels"),
        (InputTransform(mean_values=(1, 2, 3)), (1, 1, 8, 6), r"3 mean values for 1 channel"),
        (InputTransform(mean_image=np.zeros((3, 9, 9), np.float32)), (1, 3, 8, 6), r"3x9x9"),
    ],
)
def test_what_does_not_fit_is_refused(transform, shape, words):
    with pytest.raises(DataError, match=words):
        prepare(COLOUR, transform, shape, ("cat.jpg", "dog.jpg"))


def test_the_error_suggests_resize_and_crop():
    with pytest.raises(DataError, match=r"--resize 4x4.*--crop 4x4"):
        prepare(COLOUR, PLAIN, (1, 3, 4, 4))


def test_the_error_names_the_image():
    with pytest.raises(DataError, match="`b`"):
        prepare([COLOUR[0], GRAY[0, :4]], PLAIN, (1, 3, 8, 6), ("a", "b"))


def test_a_fed_array_of_another_shape_is_refused():
    with pytest.raises(DataError, match=r"`0` has the shape 5, the net takes 1x2"):
        prepare(np.zeros((1, 5), np.float32), PLAIN, (1, 1, 2), ("0",))


def test_a_resize_without_measure_is_refused():
    with pytest.raises(LimitError, match="999999x999999"):
        prepare(COLOUR, InputTransform(resize=(999999, 999999)), None)


def test_nothing_to_prepare_is_refused():
    with pytest.raises(DataError, match="no images"):
        prepare([], PLAIN)
