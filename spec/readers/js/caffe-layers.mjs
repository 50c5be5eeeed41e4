// What the layers of a container's network are set to: the fields of Caffe's LayerParameter that
// say how a layer computes, for the layers of usual networks (proto/cmodel/caffe.proto).
//
//   import { layerFields } from "./caffe-layers.mjs";
//   const { convolution_param } = layerFields(container.network.layers[1].raw);
//
// A reader of the format needs none of this.

import { protoFields, protoString } from "./cmodel-reader.mjs";

// One message a line: its name, then name=number:type of each field. The type is a scalar of
// Protocol Buffers, a message or an enum here; `[]` follows a repeated field's, and after `=`
// stands the default, where it is not the usual one.
const MESSAGES = `
LayerParameter name=1:string type=2:string bottom=3:string[] top=4:string[] loss_weight=5:float[] param=6:ParamSpec[] phase=10:Phase accuracy_param=102:AccuracyParameter argmax_param=103:ArgMaxParameter concat_param=104:ConcatParameter convolution_param=106:ConvolutionParameter dropout_param=108:DropoutParameter eltwise_param=110:EltwiseParameter exp_param=111:ExpParameter inner_product_param=117:InnerProductParameter lrn_param=118:LRNParameter mvn_param=120:MVNParameter pooling_param=121:PoolingParameter power_param=122:PowerParameter relu_param=123:ReLUParameter softmax_param=125:SoftmaxParameter slice_param=126:SliceParameter threshold_param=128:ThresholdParameter prelu_param=131:PReLUParameter spp_param=132:SPPParameter reshape_param=133:ReshapeParameter log_param=134:LogParameter flatten_param=135:FlattenParameter reduction_param=136:ReductionParameter embed_param=137:EmbedParameter tile_param=138:TileParameter batch_norm_param=139:BatchNormParameter elu_param=140:ELUParameter bias_param=141:BiasParameter scale_param=142:ScaleParameter input_param=143:InputParameter crop_param=144:CropParameter parameter_param=145:ParameterParameter recurrent_param=146:RecurrentParameter swish_param=147:SwishParameter clip_param=148:ClipParameter
ParamSpec name=1:string lr_mult=3:float=1 decay_mult=4:float=1
BlobShape dim=1:int64[]
AccuracyParameter top_k=1:uint32=1 axis=2:int32=1 ignore_label=3:int32
ArgMaxParameter out_max_val=1:bool top_k=2:uint32=1 axis=3:int32
BatchNormParameter use_global_stats=1:bool moving_average_fraction=2:float=0.999 eps=3:float=1e-5
BiasParameter axis=1:int32=1 num_axes=2:int32=1
ClipParameter min=1:float max=2:float
ConcatParameter concat_dim=1:uint32=1 axis=2:int32=1
ConvolutionParameter num_output=1:uint32 bias_term=2:bool=true pad=3:uint32[] kernel_size=4:uint32[] group=5:uint32=1 stride=6:uint32[] pad_h=9:uint32 pad_w=10:uint32 kernel_h=11:uint32 kernel_w=12:uint32 stride_h=13:uint32 stride_w=14:uint32 axis=16:int32=1 dilation=18:uint32[]
CropParameter axis=1:int32=2 offset=2:uint32[]
DropoutParameter dropout_ratio=1:float=0.5
EltwiseParameter operation=1:EltwiseOp=SUM coeff=2:float[]
ELUParameter alpha=1:float=1
EmbedParameter num_output=1:uint32 input_dim=2:uint32 bias_term=3:bool=true
ExpParameter base=1:float=-1 scale=2:float=1 shift=3:float
FlattenParameter axis=1:int32=1 end_axis=2:int32=-1
InnerProductParameter num_output=1:uint32 bias_term=2:bool=true axis=5:int32=1 transpose=6:bool
InputParameter shape=1:BlobShape[]
LogParameter base=1:float=-1 scale=2:float=1 shift=3:float
LRNParameter local_size=1:uint32=5 alpha=2:float=1 beta=3:float=0.75 norm_region=4:NormRegion k=5:float=1
MVNParameter normalize_variance=1:bool=true across_channels=2:bool eps=3:float=1e-9
ParameterParameter shape=1:BlobShape
PoolingParameter pool=1:PoolMethod kernel_size=2:uint32 stride=3:uint32=1 pad=4:uint32 kernel_h=5:uint32 kernel_w=6:uint32 stride_h=7:uint32 stride_w=8:uint32 pad_h=9:uint32 pad_w=10:uint32 global_pooling=12:bool round_mode=13:RoundMode
PowerParameter power=1:float=1 scale=2:float=1 shift=3:float
PReLUParameter channel_shared=2:bool
RecurrentParameter num_output=1:uint32 expose_hidden=5:bool
ReductionParameter operation=1:ReductionOp=SUM axis=2:int32 coeff=3:float=1
ReLUParameter negative_slope=1:float
ReshapeParameter shape=1:BlobShape axis=2:int32 num_axes=3:int32=-1
ScaleParameter axis=1:int32=1 num_axes=2:int32=1 bias_term=4:bool
SliceParameter slice_dim=1:uint32=1 slice_point=2:uint32[] axis=3:int32=1
SoftmaxParameter axis=2:int32=1
SPPParameter pyramid_height=1:uint32 pool=2:PoolMethod
SwishParameter beta=1:float=1
ThresholdParameter threshold=1:float
TileParameter axis=1:int32=1 tiles=2:int32
`;

/** The values of each enum; the first is the usual default. */
export const ENUMS = {
  Phase: { TRAIN: 0, TEST: 1 },
  EltwiseOp: { PROD: 0, SUM: 1, MAX: 2 },
  NormRegion: { ACROSS_CHANNELS: 0, WITHIN_CHANNEL: 1 },
  PoolMethod: { MAX: 0, AVE: 1, STOCHASTIC: 2 },
  RoundMode: { CEIL: 0, FLOOR: 1 },
  ReductionOp: { SUM: 1, ASUM: 2, SUMSQ: 3, MEAN: 4 },
};

const VARINT = 0;
const BYTES = 2;
const FIXED32 = 5;

const SCALARS = {
  string: { wire: BYTES, usual: "", read: protoString },
  float: { wire: FIXED32, usual: 0, read: readFloat },
  int32: { wire: VARINT, usual: 0, read: (value) => Number(BigInt.asIntN(32, value)) },
  int64: { wire: VARINT, usual: 0, read: (value) => Number(BigInt.asIntN(64, value)) },
  uint32: { wire: VARINT, usual: 0, read: (value) => Number(BigInt.asUintN(32, value)) },
  bool: { wire: VARINT, usual: false, read: (value) => value !== 0n },
};

function readFloat(bytes) {
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getFloat32(0, true);
}

/** What the lines above say: message -> [{ name, number, type, repeated, default }]. */
export const SCHEMA = new Map(MESSAGES.trim().split("\n").map(parseMessage));

function parseMessage(line) {
  const [message, ...fields] = line.split(" ");
  return [message, fields.map(parseField)];
}

function parseField(text) {
  const [, name, number, type, repeated, stated] =
    /^(\w+)=(\d+):(\w+)(\[\])?(?:=(.+))?$/.exec(text);
  const field = { name, number: Number(number), type, repeated: repeated !== undefined };
  if (field.repeated) field.default = [];
  else if (ENUMS[type]) field.default = stated ?? Object.keys(ENUMS[type])[0];
  else if (SCALARS[type]) field.default = stated ? JSON.parse(stated) : SCALARS[type].usual;
  return field;
}

/**
 * The fields of a LayerParameter, with defaults where nothing is stated; only those messages are
 * there that the layer has. Enums are names (an unknown value stays a number), floats are those
 * of float32.
 */
export function layerFields(raw) {
  return parse("LayerParameter", raw);
}

function defaults(message) {
  const out = {};
  for (const field of SCHEMA.get(message)) {
    if (field.default !== undefined) out[field.name] = field.repeated ? [] : field.default;
  }
  return out;
}

/** Read a message; what stands in `out` already stays where nothing new is stated. */
function parse(message, bytes, out = defaults(message)) {
  const byNumber = new Map(SCHEMA.get(message).map((field) => [field.number, field]));
  for (const { number, type, value } of protoFields(bytes)) {
    const field = byNumber.get(number);
    if (!field) continue;
    if (SCHEMA.has(field.type)) {
      if (type !== BYTES) continue;
      if (field.repeated) out[field.name].push(parse(field.type, value));
      else out[field.name] = parse(field.type, value, out[field.name]);
    } else {
      const items = scalars(field, type, value);
      if (field.repeated) out[field.name].push(...items);
      else if (items.length) out[field.name] = items[0];
    }
  }
  return out;
}

/** The values of one occurrence of a field: more than one, or none, where it is packed. */
function scalars({ type, repeated }, wire, value) {
  const scalar = SCALARS[type] ?? SCALARS.int32;
  let items = [];
  if (wire === scalar.wire) items = [value];
  else if (wire === BYTES && repeated) items = unpacked(scalar.wire, value);
  items = items.map(scalar.read);
  return ENUMS[type] ? items.map((item) => enumName(type, item)) : items;
}

function unpacked(wire, bytes) {
  const items = [];
  if (wire === FIXED32) {
    for (let at = 0; at + 4 <= bytes.length; at += 4) items.push(bytes.subarray(at, at + 4));
    return items;
  }
  let value = 0n;
  let shift = 0n;
  for (const byte of bytes) {
    value |= BigInt(byte & 127) << shift;
    shift += 7n;
    if (byte < 128) {
      items.push(value);
      value = shift = 0n;
    }
  }
  return items;
}

function enumName(type, value) {
  return Object.keys(ENUMS[type]).find((name) => ENUMS[type][name] === value) ?? value;
}
