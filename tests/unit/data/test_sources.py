"""Every kind of source: what it gives, and what it says of damage."""

import gzip
import io
import struct
import zipfile

import numpy as np
import pytest
from PIL import Image

from cmodel.data import images as images_module
from cmodel.data import open_source
from cmodel.errors import DataError, LimitError, MissingExtraError, UsageError

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (5, 4, 3), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (5, 6, 4, 3), dtype=np.uint8)


def idx(array, kind=8):
    return (
        struct.pack(f">BBBB{array.ndim}I", 0, 0, kind, array.ndim, *array.shape) + array.tobytes()
    )


def encoded(array, fmt="PNG", **options):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, fmt, **options)
    return stream.getvalue()


def put_image(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(array))


def put_zip(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def read_all(source):
    return source.read(range(len(source)))


class TestIdx:
    @pytest.mark.parametrize("pack", [bytes, gzip.compress])
    def test_images_with_the_labels_beside_them(self, tmp_path, pack):
        path = tmp_path / "t10k-images-idx3-ubyte.gz"
        path.write_bytes(pack(idx(GRAY)))
        (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(np.arange(5, dtype=np.uint8)))
        source = open_source(path)
        assert len(source) == 5
        assert source.labels.dtype == np.int64
        assert source.labels.tolist() == [0, 1, 2, 3, 4]
        assert source.names[3] == "3"
        assert not source.as_fed
        assert np.array_equal(source.read([4, 0]), GRAY[[4, 0]])

    def test_the_name_does_not_matter(self, tmp_path):
        (tmp_path / "x").write_bytes(gzip.compress(idx(GRAY)))
        source = open_source(tmp_path / "x")
        assert source.labels is None
        assert np.array_equal(read_all(source), GRAY)

    @pytest.mark.parametrize("kept", [1, 3, 10, 15, 40, -1])
    def test_cut_short(self, tmp_path, kept):
        path = tmp_path / "images"
        path.write_bytes(idx(GRAY)[:kept])
        with pytest.raises((DataError, LimitError)) as caught:
            open_source(path)
        assert str(path) in str(caught.value)

    @pytest.mark.parametrize("kept", [5, 12, 30, -9, -1])
    def test_gzip_cut_short(self, tmp_path, kept):
        path = tmp_path / "images.gz"
        path.write_bytes(gzip.compress(idx(GRAY))[:kept])
        with pytest.raises(DataError, match=r"images\.gz"):
            open_source(path)

    def test_gzip_with_a_wrong_checksum(self, tmp_path):
        data = bytearray(gzip.compress(idx(GRAY)))
        data[-6] ^= 1
        (tmp_path / "x").write_bytes(data)
        with pytest.raises(DataError, match="damaged"):
            open_source(tmp_path / "x")

    def test_bytes_after_the_end(self, tmp_path):
        (tmp_path / "x").write_bytes(idx(GRAY) + b"!")
        with pytest.raises(DataError, match="the file has 61"):
            open_source(tmp_path / "x")
        (tmp_path / "x").write_bytes(gzip.compress(idx(GRAY) + b"!"))
        with pytest.raises(DataError, match="the file has more"):
            open_source(tmp_path / "x")

    def test_a_header_that_states_too_much(self, tmp_path):
        header = struct.pack(">BBBB3I", 0, 0, 8, 3, 1000, 1000, 1000)
        (tmp_path / "x").write_bytes(gzip.compress(header))
        with pytest.raises(DataError, match="more than"):
            open_source(tmp_path / "x")
        header = struct.pack(">BBBB3I", 0, 0, 8, 3, 1 << 31, 1 << 31, 1 << 31)
        (tmp_path / "x").write_bytes(gzip.compress(header))
        with pytest.raises(LimitError):
            open_source(tmp_path / "x")

    def test_other_types_and_ranks(self, tmp_path):
        (tmp_path / "x").write_bytes(idx(GRAY, kind=0x0D))
        with pytest.raises(DataError, match="0x0d"):
            open_source(tmp_path / "x")
        (tmp_path / "x").write_bytes(idx(GRAY[0]))
        with pytest.raises(DataError, match="idx2"):
            open_source(tmp_path / "x")

    def test_no_images(self, tmp_path):
        (tmp_path / "x").write_bytes(idx(GRAY[:0]))
        with pytest.raises(DataError, match="no images"):
            open_source(tmp_path / "x")


class TestArrays:
    def test_npz_with_images_and_labels(self, tmp_path):
        np.savez_compressed(tmp_path / "a.npz", x=COLOUR, y=np.arange(5, dtype=np.uint8))
        source = open_source(tmp_path / "a.npz")
        assert source.labels.tolist() == [0, 1, 2, 3, 4]
        items = source.read([1, 3])
        assert items.dtype == np.uint8
        assert np.array_equal(items, COLOUR[[1, 3]])

    def test_npz_of_floats_is_fed_as_it_is(self, tmp_path):
        fed = RNG.random((4, 3, 6, 6))
        np.savez(tmp_path / "a.npz", x=fed)
        source = open_source(tmp_path / "a.npz")
        assert source.as_fed
        assert source.labels is None
        assert np.array_equal(read_all(source), fed.astype(np.float32))

    @pytest.mark.parametrize(
        ("shape", "items"),
        [((7, 3), 1), ((7, 5, 3), 1), ((7, 5, 1), 1), ((7, 5, 5), 7), ((7, 5, 5, 3), 7)],
    )
    def test_shapes_of_images(self, tmp_path, shape, items):
        np.save(tmp_path / "a.npy", np.zeros(shape, np.uint8))
        assert len(open_source(tmp_path / "a.npy")) == items

    @pytest.mark.parametrize(
        ("shape", "item"),
        [((9,), (9,)), ((4, 9), (9,)), ((3, 8, 8), (3, 8, 8)), ((2, 3, 8, 8), (3, 8, 8))],
    )
    def test_shapes_of_floats(self, tmp_path, shape, item):
        np.save(tmp_path / "a.npy", np.zeros(shape, np.float32))
        assert read_all(open_source(tmp_path / "a.npy"))[0].shape == item

    def test_fortran_order_and_big_endian(self, tmp_path):
        fed = RNG.random((4, 3, 6, 5)).astype(">f4")
        np.save(tmp_path / "f.npy", np.asfortranarray(fed))
        assert np.array_equal(read_all(open_source(tmp_path / "f.npy")), fed)
        np.savez(tmp_path / "f.npz", x=np.asfortranarray(fed))
        assert np.array_equal(read_all(open_source(tmp_path / "f.npz")), fed)

    @pytest.mark.parametrize(
        "array", [np.zeros((2, 3, 8, 8), np.uint8), np.zeros((2, 4, 4), np.int32), np.float32(1)]
    )
    def test_what_is_no_set_of_images(self, tmp_path, array):
        np.save(tmp_path / "a.npy", array)
        with pytest.raises(DataError, match="not a set of images"):
            open_source(tmp_path / "a.npy")

    def test_objects_are_not_unpickled(self, tmp_path):
        np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
        with pytest.raises(DataError, match="object"):
            open_source(tmp_path / "a.npy")
        np.savez(tmp_path / "a.npz", x=np.array([{}], dtype=object))
        with pytest.raises(DataError, match="object"):
            open_source(tmp_path / "a.npz")

    @pytest.mark.parametrize("kept", [8, 20, 100, -1])
    def test_npy_cut_short(self, tmp_path, kept):
        np.save(tmp_path / "a.npy", COLOUR)
        data = (tmp_path / "a.npy").read_bytes()
        (tmp_path / "a.npy").write_bytes(data[:kept])
        with pytest.raises(DataError, match="header"):
            open_source(tmp_path / "a.npy")

    @pytest.mark.parametrize(
        "text",
        [
            b"{'descr': __import__('os'), }",
            b"{'descr': (",
            b"[" * 5000,
            b"-" * 9000 + b"1",
            b"\xff",
        ],
    )
    def test_a_header_that_is_no_header(self, tmp_path, text):
        (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text)
        with pytest.raises(DataError, match="header is damaged"):
            open_source(tmp_path / "a.npy")

    def test_npz_without_x(self, tmp_path):
        np.savez(tmp_path / "a.npz", images=COLOUR)
        with pytest.raises(DataError, match=r"no array `x`(.|\n)*images"):
            open_source(tmp_path / "a.npz")

    @pytest.mark.parametrize("labels", [np.arange(4), np.zeros((5, 1), int), np.zeros(5)])
    def test_npz_with_wrong_labels(self, tmp_path, labels):
        np.savez(tmp_path / "a.npz", x=COLOUR, y=labels)
        with pytest.raises(DataError, match="labels"):
            open_source(tmp_path / "a.npz")

    @pytest.mark.parametrize("where", [0.1, 0.5, 0.99])
    def test_npz_cut_short(self, tmp_path, where):
        np.savez_compressed(tmp_path / "a.npz", x=COLOUR)
        data = (tmp_path / "a.npz").read_bytes()
        (tmp_path / "a.npz").write_bytes(data[: int(len(data) * where)])
        with pytest.raises(DataError, match=r"a\.npz"):
            open_source(tmp_path / "a.npz")

    def test_a_member_above_the_limit(self, tmp_path, monkeypatch):
        monkeypatch.setattr("cmodel.data.arrays.MAX_ARRAY_BYTES", 100)
        np.savez(tmp_path / "a.npz", x=COLOUR)
        with pytest.raises(LimitError, match="100 is the limit"):
            open_source(tmp_path / "a.npz")

    def test_every_flipped_byte_gives_an_error_or_an_answer(self, tmp_path):
        np.savez_compressed(tmp_path / "a.npz", x=GRAY, y=np.arange(5))
        data = (tmp_path / "a.npz").read_bytes()
        refused = 0
        for position in range(len(data)):
            damaged = bytearray(data)
            damaged[position] ^= 0x41
            (tmp_path / "b.npz").write_bytes(damaged)
            try:
                read_all(open_source(tmp_path / "b.npz"))
            except (DataError, LimitError):
                refused += 1
        assert refused > len(data) // 2


class TestImages:
    def test_one_image(self, tmp_path):
        put_image(tmp_path / "cat.png", COLOUR[0])
        source = open_source(tmp_path / "cat.png")
        assert list(source.names) == ["cat.png"]
        assert source.labels is None
        assert np.array_equal(read_all(source)[0], COLOUR[0])

    def test_gray_images_stay_gray_and_colour_ones_turn_so(self, tmp_path):
        put_image(tmp_path / "a.png", GRAY[0])
        put_image(tmp_path / "b.png", COLOUR[0])
        first, second = read_all(open_source(tmp_path))
        assert (first.ndim, second.ndim) == (2, 3)
        first, second = read_all(open_source(tmp_path, gray=True))
        assert np.array_equal(first, GRAY[0])
        assert second.shape == (6, 4)

    @pytest.mark.parametrize("fmt", ["BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"])
    def test_formats_told_by_content(self, tmp_path, fmt):
        image = np.full((6, 4, 3), 128, np.uint8)
        (tmp_path / "noname").write_bytes(encoded(image, fmt))
        (item,) = read_all(open_source(tmp_path / "noname"))
        assert np.abs(item.astype(int) - image).max() <= 2

    def test_transparency_is_dropped(self, tmp_path):
        rgba = np.dstack([COLOUR[0], np.zeros((6, 4), np.uint8)])
        put_image(tmp_path / "a.png", rgba)
        assert np.array_equal(read_all(open_source(tmp_path / "a.png"))[0], COLOUR[0])

    def test_a_palette_with_transparency(self, tmp_path):
        image = Image.new("P", (2, 1))
        image.putpalette([10, 20, 30, 40, 50, 60])
        image.putpixel((1, 0), 1)
        image.save(tmp_path / "a.png", transparency=bytes([0, 128]))
        item = read_all(open_source(tmp_path / "a.png"))[0]
        assert item.tolist() == [[[10, 20, 30], [40, 50, 60]]]

    def test_16_bits_keep_the_upper_8(self, tmp_path):
        wide = np.array([[0, 256, 65535, 511]], np.uint16)
        put_image(tmp_path / "a.png", wide)
        assert read_all(open_source(tmp_path / "a.png"))[0].tolist() == [[0, 1, 255, 1]]

    def test_the_orientation_is_applied(self, tmp_path):
        exif = Image.Exif()
        exif[0x0112] = 6  # turned by a quarter, clockwise
        Image.fromarray(COLOUR[0]).save(tmp_path / "a.png", exif=exif)
        item = read_all(open_source(tmp_path / "a.png"))[0]
        assert np.array_equal(item, np.rot90(COLOUR[0], -1))

    def test_pixels_equal_opencv(self, tmp_path):
        cv2 = pytest.importorskip("cv2")
        exif = Image.Exif()
        exif[0x0112] = 6
        ramp = np.linspace(0, 255, 48 * 64 * 3).reshape(48, 64, 3).astype(np.uint8)
        Image.fromarray(ramp).save(tmp_path / "a.jpg", quality=97, subsampling=0, exif=exif)
        item = read_all(open_source(tmp_path / "a.jpg"))[0]
        expected = cv2.imread(str(tmp_path / "a.jpg"))[..., ::-1]
        assert item.shape == expected.shape
        assert np.abs(item.astype(int) - expected).max() <= 3

    @pytest.mark.parametrize("fmt", ["BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"])
    def test_cut_short(self, tmp_path, fmt):
        data = encoded(RNG.integers(0, 256, (40, 40, 3), dtype=np.uint8), fmt)
        (tmp_path / "a.bin").write_bytes(data[: len(data) // 2])
        with pytest.raises(DataError, match=r"damaged(.|\n)*a\.bin"):
            read_all(open_source(tmp_path / "a.bin"))

    def test_no_image_behind_its_suffix(self, tmp_path):
        put_image(tmp_path / "a.png", GRAY[0])
        (tmp_path / "b.png").write_bytes(b"%PDF not an image")
        source = open_source(tmp_path)
        source.read([0])
        with pytest.raises(DataError, match=r"known format(.|\n)*b\.png"):
            source.read([1])

    @pytest.mark.filterwarnings("default")
    def test_too_many_pixels(self, tmp_path, monkeypatch):
        monkeypatch.setattr(images_module, "MAX_IMAGE_PIXELS", 20)
        put_image(tmp_path / "a.png", COLOUR[0])
        with pytest.raises(LimitError, match="6x4 pixels"):
            read_all(open_source(tmp_path / "a.png"))

    def test_a_bomb_that_pillow_itself_refuses(self, tmp_path):
        header = b"P6\n100000 100000\n255\n"
        (tmp_path / "a.ppm").write_bytes(header + b"\0" * 99)
        with pytest.raises(LimitError, match="too many pixels"):
            read_all(open_source(tmp_path / "a.ppm"))

    def test_a_file_above_the_limit(self, tmp_path, monkeypatch):
        monkeypatch.setattr(images_module, "MAX_IMAGE_BYTES", 20)
        put_image(tmp_path / "a.png", COLOUR[0])
        with pytest.raises(LimitError, match="larger than"):
            read_all(open_source(tmp_path / "a.png"))

    def test_without_pillow(self, tmp_path, monkeypatch):
        put_image(tmp_path / "a.png", COLOUR[0])
        monkeypatch.setitem(__import__("sys").modules, "PIL", None)
        with pytest.raises(MissingExtraError, match="images"):
            read_all(open_source(tmp_path / "a.png"))


class TestFolder:
    def test_labels_are_the_sorted_sub_folders(self, tmp_path):
        for name, count in (("dog", 2), ("cat", 1), ("ant", 2)):
            for i in range(count):
                put_image(tmp_path / name / f"{i}.png", COLOUR[i])
        (tmp_path / ".hidden").mkdir()
        (tmp_path / "readme.txt").write_text("about")
        source = open_source(tmp_path)
        assert list(source.names) == [
            "ant/0.png",
            "ant/1.png",
            "cat/0.png",
            "dog/0.png",
            "dog/1.png",
        ]
        assert source.labels.tolist() == [0, 0, 1, 2, 2]
        assert np.array_equal(source.read([4])[0], COLOUR[1])

    def test_flat_folders_and_single_sub_folders_have_none(self, tmp_path):
        put_image(tmp_path / "flat" / "b.png", COLOUR[1])
        put_image(tmp_path / "flat" / "a.PNG", COLOUR[0])
        source = open_source(tmp_path / "flat")
        assert list(source.names) == ["a.PNG", "b.png"]
        assert source.labels is None
        assert open_source(tmp_path).labels is None

    def test_a_list_inside_is_followed(self, tmp_path):
        put_image(tmp_path / "images" / "a.png", COLOUR[0])
        (tmp_path / "list.txt").write_text("images/a.png 7\n")
        assert open_source(tmp_path).labels.tolist() == [7]

    def test_images_on_both_floors(self, tmp_path):
        put_image(tmp_path / "a.png", COLOUR[0])
        put_image(tmp_path / "sub" / "b.png", COLOUR[0])
        with pytest.raises(DataError, match="labels are unclear"):
            open_source(tmp_path)

    def test_empty(self, tmp_path):
        with pytest.raises(DataError, match="no images"):
            open_source(tmp_path)


class TestList:
    @pytest.fixture
    def folder(self, tmp_path):
        put_image(tmp_path / "a.png", COLOUR[0])
        put_image(tmp_path / "sub dir" / "b 1.png", COLOUR[1])
        return tmp_path

    def test_paths_with_blanks_and_labels(self, folder):
        (folder / "val.txt").write_text("a.png 3\r\n\nsub dir/b 1.png   0\n")
        source = open_source(folder / "val.txt")
        assert source.labels.tolist() == [3, 0]
        assert list(source.names) == ["a.png", "sub dir/b 1.png"]
        assert np.array_equal(source.read([1])[0], COLOUR[1])

    def test_without_labels(self, folder):
        (folder / "val.txt").write_text("a.png\nsub dir/b 1.png\n")
        source = open_source(folder / "val.txt")
        assert source.labels is None
        assert np.array_equal(source.read([1])[0], COLOUR[1])

    def test_root(self, folder):
        (folder / "lists").mkdir()
        (folder / "lists" / "val.txt").write_text("a.png 3\n")
        assert len(open_source(folder / "lists" / "val.txt", root=folder)) == 1
        with pytest.raises(DataError, match=r"no file(.|\n)*val\.txt:1(.|\n)*--root"):
            open_source(folder / "lists" / "val.txt")

    def test_a_missing_file_is_named_with_its_line(self, folder):
        (folder / "val.txt").write_text("a.png 3\n\ngone.png 1\n")
        with pytest.raises(DataError, match=r"gone\.png(.|\n)*val\.txt:3"):
            open_source(folder / "val.txt")

    def test_labels_on_some_lines_only(self, folder):
        (folder / "val.txt").write_text("a.png 3\na.png\n")
        with pytest.raises(DataError, match=r"no label(.|\n)*val\.txt:2"):
            open_source(folder / "val.txt")

    def test_blank(self, folder):
        (folder / "val.txt").write_text("\n \n")
        with pytest.raises(DataError, match="no images"):
            open_source(folder / "val.txt")

    def test_not_utf8(self, folder):
        (folder / "val.txt").write_bytes(b"caf\xe9.png 3\n")
        with pytest.raises(DataError, match="UTF-8"):
            open_source(folder / "val.txt")


class TestZip:
    @pytest.mark.parametrize("prefix", ["", "set/"])
    def test_paths_are_relative_to_the_list(self, tmp_path, prefix):
        members = {
            f"{prefix}x/a 1.png": encoded(COLOUR[0]),
            f"{prefix}x/b.png": encoded(COLOUR[1]),
            f"{prefix}list.txt": "x/a 1.png 4\n./x/b.png 2\n",
        }
        with open_source(put_zip(tmp_path / "a.zip", members)) as source:
            assert source.labels.tolist() == [4, 2]
            assert np.array_equal(source.read([1])[0], COLOUR[1])

    @pytest.mark.parametrize(
        ("members", "words"),
        [
            ({"a.png": b""}, r"no list\.txt"),
            ({"a/list.txt": "x", "b/list.txt": "x"}, "several lists"),
            ({"list.txt": "../a.png 1"}, r"no file '\.\./a\.png'(.|\n)*list\.txt:1"),
            ({"list.txt": ""}, "no images"),
        ],
    )
    def test_wrong_contents(self, tmp_path, members, words):
        with pytest.raises(DataError, match=words):
            open_source(put_zip(tmp_path / "a.zip", members))

    def test_a_bomb_is_refused_before_it_is_unpacked(self, tmp_path, monkeypatch):
        monkeypatch.setattr("cmodel.data.archive.MAX_IMAGE_BYTES", 1000)
        members = {"list.txt": "a.png 0\n", "a.png": bytes(1001)}
        source = open_source(put_zip(tmp_path / "a.zip", members))
        with pytest.raises(LimitError, match="1001 bytes"):
            source.read([0])

    def test_a_damaged_member_is_named(self, tmp_path):
        members = {"list.txt": "a.png 0\n", "a.png": encoded(COLOUR[0])}
        path = put_zip(tmp_path / "a.zip", members, zipfile.ZIP_STORED)
        data = bytearray(path.read_bytes())
        data[data.index(b"IDAT") + 8] ^= 0xFF
        path.write_bytes(data)
        with pytest.raises(DataError, match=r"damaged here(.|\n)*a\.zip, a\.png"):
            open_source(path).read([0])

    @pytest.mark.parametrize("where", [0.2, 0.9])
    def test_cut_short(self, tmp_path, where):
        path = put_zip(tmp_path / "a.zip", {"list.txt": "a.png 0\n", "a.png": encoded(COLOUR[0])})
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * where)])
        with pytest.raises(DataError, match="damaged"):
            open_source(path)


class TestLabels:
    @pytest.fixture
    def images(self, tmp_path):
        np.savez(tmp_path / "a.npz", x=COLOUR, y=np.arange(5))
        return tmp_path / "a.npz"

    @pytest.mark.parametrize("kind", ["txt", "npy", "idx", "gz"])
    def test_a_file_of_labels_wins(self, images, tmp_path, kind):
        wanted, path = np.array([9, 8, 7, 6, 5]), tmp_path / f"labels.{kind}"
        if kind == "txt":
            path.write_text("9\n8\r\n7\n 6\n5\n\n")
        elif kind == "npy":
            np.save(path, wanted)
        else:
            data = idx(wanted.astype(np.uint8))
            path.write_bytes(gzip.compress(data) if kind == "gz" else data)
        assert open_source(images, labels=path).labels.tolist() == wanted.tolist()

    def test_another_number_of_labels(self, images, tmp_path):
        (tmp_path / "l.txt").write_text("1\n2\n")
        with pytest.raises(DataError, match=r"5 images but 2 labels(.|\n)*l\.txt"):
            open_source(images, labels=tmp_path / "l.txt")

    @pytest.mark.parametrize("text", ["1\ncat\n", "1\n\n2\n", "1\n2.5\n"])
    def test_not_integers(self, images, tmp_path, text):
        (tmp_path / "l.txt").write_text(text)
        with pytest.raises(DataError, match=r"l\.txt:2"):
            open_source(images, labels=tmp_path / "l.txt")

    def test_missing_or_of_another_rank(self, images, tmp_path):
        with pytest.raises(DataError, match=r"gone\.txt"):
            open_source(images, labels=tmp_path / "gone.txt")
        (tmp_path / "l").write_bytes(idx(GRAY))
        with pytest.raises(DataError, match="idx3"):
            open_source(images, labels=tmp_path / "l")

    def test_of_a_list_and_a_folder(self, tmp_path):
        put_image(tmp_path / "s" / "a" / "x.png", COLOUR[0])
        put_image(tmp_path / "s" / "b" / "y.png", COLOUR[0])
        (tmp_path / "l.txt").write_text("4\n3\n")
        assert open_source(tmp_path / "s", labels=tmp_path / "l.txt").labels.tolist() == [4, 3]


class TestUnknown:
    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"", "empty"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
            (b"\0\1\2\3" * 9, "not a known kind"),
            (gzip.compress(b"text"), "inside gzip"),
            (gzip.compress(b"\x93NUMPY"), "inside gzip"),
        ],
    )
    def test_files(self, tmp_path, data, words):
        (tmp_path / "x").write_bytes(data)
        with pytest.raises(DataError, match=rf"{words}(.|\n)*x"):
            open_source(tmp_path / "x")

    def test_nothing_there(self, tmp_path):
        with pytest.raises(DataError, match=r"No such file(.|\n)*gone"):
            open_source(tmp_path / "gone")

    def test_a_root_without_a_list(self, tmp_path):
        np.save(tmp_path / "a.npy", COLOUR)
        with pytest.raises(UsageError, match="list file"):
            open_source(tmp_path / "a.npy", root=tmp_path)
