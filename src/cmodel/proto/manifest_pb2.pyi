from cmodel.proto import caffe_pb2 as _caffe_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Manifest(_message.Message):
    __slots__ = ("network", "unknown", "directory", "transform", "required", "ranges")
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    TRANSFORM_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_FIELD_NUMBER: _ClassVar[int]
    RANGES_FIELD_NUMBER: _ClassVar[int]
    network: _caffe_pb2.NetParameter
    unknown: _containers.RepeatedCompositeFieldContainer[UnknownField]
    directory: bytes
    transform: Transform
    required: _containers.RepeatedScalarFieldContainer[str]
    ranges: Ranges
    def __init__(self, network: _Optional[_Union[_caffe_pb2.NetParameter, _Mapping[str, object]]] = ..., unknown: _Optional[_Iterable[_Union[UnknownField, _Mapping[str, object]]]] = ..., directory: _Optional[bytes] = ..., transform: _Optional[_Union[Transform, _Mapping[str, object]]] = ..., required: _Optional[_Iterable[str]] = ..., ranges: _Optional[_Union[Ranges, _Mapping[str, object]]] = ...) -> None: ...

class Ranges(_message.Message):
    __slots__ = ("layer", "low", "high")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    layer: _containers.RepeatedScalarFieldContainer[int]
    low: _containers.RepeatedScalarFieldContainer[float]
    high: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, layer: _Optional[_Iterable[int]] = ..., low: _Optional[_Iterable[float]] = ..., high: _Optional[_Iterable[float]] = ...) -> None: ...

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
