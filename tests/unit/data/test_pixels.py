import numpy as np
import pytest

from cmodel.data.pixels import resize, to_gray


def images(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_resize_to_the_same_size_changes_nothing():
    image = images((2, 7, 5, 3))
    assert np.array_equal(resize(image, 7, 5), image)


def test_resize_interpolates_between_pixel_centres():
    row = np.array([0, 100], dtype=np.uint8).reshape(1, 1, 2, 1)
    # Centres of the targets lie at -0.25, 0.25, 0.75, 1.25 of the source.
    assert resize(row, 1, 4).ravel().tolist() == [0, 25, 75, 100]


def test_halving_is_a_rounded_mean_of_four():
    image = np.array([[0, 1], [0, 1]], dtype=np.uint8).reshape(1, 2, 2, 1)
    assert resize(image, 1, 1).item() == 1


def test_resize_takes_each_image_for_itself():
    stack = images((3, 9, 11, 3))
    each = np.concatenate([resize(image[None], 4, 17) for image in stack])
    assert np.array_equal(resize(stack, 4, 17), each)


def test_resize_needs_no_more_memory_than_its_result():
    # 30,000 rows, all as wide as the target, would take gigabytes.
    tall = np.full((1, 30_000, 1, 1), 7, np.uint8)
    assert np.array_equal(resize(tall, 1, 30_000), np.full((1, 1, 30_000, 1), 7))


def test_gray_uses_the_weights_of_bt601():
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]], dtype=np.uint8)
    assert to_gray(colours).tolist() == [76, 150, 29, 255]


def test_gray_of_one_channel_is_that_channel():
    image = images((2, 3, 4, 1))
    assert np.array_equal(to_gray(image), image[..., 0])


SIZES = [
    ((256, 256), (227, 227)),
    ((32, 32), (28, 28)),
    ((28, 28), (32, 32)),
    ((64, 48), (32, 24)),
    ((64, 48), (32, 48)),
    ((63, 48), (31, 24)),
    ((5, 7), (50, 3)),
    ((1, 1), (4, 4)),
    ((9, 1), (1, 9)),
    ((2, 300), (5, 123)),
    ((120, 90), (40, 30)),
]


@pytest.mark.parametrize(("before", "after"), SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_resize_equals_opencv(before, after, channels):
    cv2 = pytest.importorskip("cv2")
    image = images((*before, channels))
    expected = cv2.resize(image, after[::-1], interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(resize(image[None], *after)[0], expected.reshape(*after, channels))


def test_resize_equals_opencv_at_random_sizes():
    cv2 = pytest.importorskip("cv2")
    random = np.random.default_rng(1)
    for _ in range(300):
        height, width, new_height, new_width = (int(n) for n in random.integers(1, 70, 4))
        image = images((height, width, 3), seed=height)
        expected = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
        assert np.array_equal(resize(image[None], new_height, new_width)[0], expected)


def test_gray_equals_opencv():
    cv2 = pytest.importorskip("cv2")
    image = images((200, 300, 3))
    assert np.array_equal(to_gray(image), cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
