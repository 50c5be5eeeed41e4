from cmodel.proto import caffe_pb2 as _caffe_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Manifest(_message.Message):
    __slots__ = ("network", "unknown", "tensor", "transform", "required")
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    TRANSFORM_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_FIELD_NUMBER: _ClassVar[int]
    network: _caffe_pb2.NetParameter
    unknown: _containers.RepeatedCompositeFieldContainer[UnknownField]
    tensor: _containers.RepeatedCompositeFieldContainer[Tensor]
    transform: Transform
    required: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, network: _Optional[_Union[_caffe_pb2.NetParameter, _Mapping[str, object]]] = ..., unknown: _Optional[_Iterable[_Union[UnknownField, _Mapping[str, object]]]] = ..., tensor: _Optional[_Iterable[_Union[Tensor, _Mapping[str, object]]]] = ..., transform: _Optional[_Union[Transform, _Mapping[str, object]]] = ..., required: _Optional[_Iterable[str]] = ...) -> None: ...

class UnknownField(_message.Message):
    __slots__ = ("layer", "path", "text", "wire")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    WIRE_FIELD_NUMBER: _ClassVar[int]
    layer: int
    path: str
    text: str
    wire: bytes
    def __init__(self, layer: _Optional[int] = ..., path: _Optional[str] = ..., text: _Optional[str] = ..., wire: _Optional[bytes] = ...) -> None: ...

class Transform(_message.Message):
    __slots__ = ("resize_height", "resize_width", "crop_height", "crop_width", "scale", "mean_value", "channel_order")
    class ChannelOrder(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNSPECIFIED: _ClassVar[Transform.ChannelOrder]
        BGR: _ClassVar[Transform.ChannelOrder]
        RGB: _ClassVar[Transform.ChannelOrder]
        GRAY: _ClassVar[Transform.ChannelOrder]
    UNSPECIFIED: Transform.ChannelOrder
    BGR: Transform.ChannelOrder
    RGB: Transform.ChannelOrder
    GRAY: Transform.ChannelOrder
    RESIZE_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    RESIZE_WIDTH_FIELD_NUMBER: _ClassVar[int]
    CROP_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    CROP_WIDTH_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    MEAN_VALUE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_ORDER_FIELD_NUMBER: _ClassVar[int]
    resize_height: int
    resize_width: int
    crop_height: int
    crop_width: int
    scale: _containers.RepeatedScalarFieldContainer[float]
    mean_value: _containers.RepeatedScalarFieldContainer[float]
    channel_order: Transform.ChannelOrder
    def __init__(self, resize_height: _Optional[int] = ..., resize_width: _Optional[int] = ..., crop_height: _Optional[int] = ..., crop_width: _Optional[int] = ..., scale: _Optional[_Iterable[float]] = ..., mean_value: _Optional[_Iterable[float]] = ..., channel_order: _Optional[_Union[Transform.ChannelOrder, str]] = ...) -> None: ...

class Tensor(_message.Message):
    __slots__ = ("layer", "dim", "form", "crc32", "section", "role", "blob")
    class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        PARAMETER: _ClassVar[Tensor.Role]
        MEAN_IMAGE: _ClassVar[Tensor.Role]
    PARAMETER: Tensor.Role
    MEAN_IMAGE: Tensor.Role
    LAYER_FIELD_NUMBER: _ClassVar[int]
    DIM_FIELD_NUMBER: _ClassVar[int]
    FORM_FIELD_NUMBER: _ClassVar[int]
    CRC32_FIELD_NUMBER: _ClassVar[int]
    SECTION_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    BLOB_FIELD_NUMBER: _ClassVar[int]
    layer: int
    dim: _containers.RepeatedScalarFieldContainer[int]
    form: Form
    crc32: int
    section: int
    role: Tensor.Role
    blob: int
    def __init__(self, layer: _Optional[int] = ..., dim: _Optional[_Iterable[int]] = ..., form: _Optional[_Union[Form, _Mapping[str, object]]] = ..., crc32: _Optional[int] = ..., section: _Optional[int] = ..., role: _Optional[_Union[Tensor.Role, str]] = ..., blob: _Optional[int] = ...) -> None: ...

class Form(_message.Message):
    __slots__ = ("dense", "codebook", "linear", "sparse")
    DENSE_FIELD_NUMBER: _ClassVar[int]
    CODEBOOK_FIELD_NUMBER: _ClassVar[int]
    LINEAR_FIELD_NUMBER: _ClassVar[int]
    SPARSE_FIELD_NUMBER: _ClassVar[int]
    dense: Dense
    codebook: Codebook
    linear: Linear
    sparse: Sparse
    def __init__(self, dense: _Optional[_Union[Dense, _Mapping[str, object]]] = ..., codebook: _Optional[_Union[Codebook, _Mapping[str, object]]] = ..., linear: _Optional[_Union[Linear, _Mapping[str, object]]] = ..., sparse: _Optional[_Union[Sparse, _Mapping[str, object]]] = ...) -> None: ...

class Stream(_message.Message):
    __slots__ = ("coder", "size", "width")
    class Coder(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        RAW: _ClassVar[Stream.Coder]
        PACKED: _ClassVar[Stream.Coder]
        HUFFMAN: _ClassVar[Stream.Coder]
    RAW: Stream.Coder
    PACKED: Stream.Coder
    HUFFMAN: Stream.Coder
    CODER_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    coder: Stream.Coder
    size: int
    width: int
    def __init__(self, coder: _Optional[_Union[Stream.Coder, str]] = ..., size: _Optional[int] = ..., width: _Optional[int] = ...) -> None: ...

class Dense(_message.Message):
    __slots__ = ("type", "values")
    class Type(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        F32: _ClassVar[Dense.Type]
        F16: _ClassVar[Dense.Type]
    F32: Dense.Type
    F16: Dense.Type
    TYPE_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    type: Dense.Type
    values: Stream
    def __init__(self, type: _Optional[_Union[Dense.Type, str]] = ..., values: _Optional[_Union[Stream, _Mapping[str, object]]] = ...) -> None: ...

class Codebook(_message.Message):
    __slots__ = ("entries", "centroids", "indices")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    CENTROIDS_FIELD_NUMBER: _ClassVar[int]
    INDICES_FIELD_NUMBER: _ClassVar[int]
    entries: int
    centroids: Stream
    indices: Stream
    def __init__(self, entries: _Optional[int] = ..., centroids: _Optional[_Union[Stream, _Mapping[str, object]]] = ..., indices: _Optional[_Union[Stream, _Mapping[str, object]]] = ...) -> None: ...

class Linear(_message.Message):
    __slots__ = ("type", "scale_count", "scales", "zeros", "lowest", "ints")
    class Type(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        I8: _ClassVar[Linear.Type]
        U8: _ClassVar[Linear.Type]
        I16: _ClassVar[Linear.Type]
        U16: _ClassVar[Linear.Type]
    I8: Linear.Type
    U8: Linear.Type
    I16: Linear.Type
    U16: Linear.Type
    TYPE_FIELD_NUMBER: _ClassVar[int]
    SCALE_COUNT_FIELD_NUMBER: _ClassVar[int]
    SCALES_FIELD_NUMBER: _ClassVar[int]
    ZEROS_FIELD_NUMBER: _ClassVar[int]
    LOWEST_FIELD_NUMBER: _ClassVar[int]
    INTS_FIELD_NUMBER: _ClassVar[int]
    type: Linear.Type
    scale_count: int
    scales: Stream
    zeros: Stream
    lowest: int
    ints: Stream
    def __init__(self, type: _Optional[_Union[Linear.Type, str]] = ..., scale_count: _Optional[int] = ..., scales: _Optional[_Union[Stream, _Mapping[str, object]]] = ..., zeros: _Optional[_Union[Stream, _Mapping[str, object]]] = ..., lowest: _Optional[int] = ..., ints: _Optional[_Union[Stream, _Mapping[str, object]]] = ...) -> None: ...

class Sparse(_message.Message):
    __slots__ = ("count", "gap_bits", "gap_count", "gaps", "values")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    GAP_BITS_FIELD_NUMBER: _ClassVar[int]
    GAP_COUNT_FIELD_NUMBER: _ClassVar[int]
    GAPS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    count: int
    gap_bits: int
    gap_count: int
    gaps: Stream
    values: Form
    def __init__(self, count: _Optional[int] = ..., gap_bits: _Optional[int] = ..., gap_count: _Optional[int] = ..., gaps: _Optional[_Union[Stream, _Mapping[str, object]]] = ..., values: _Optional[_Union[Form, _Mapping[str, object]]] = ...) -> None: ...
