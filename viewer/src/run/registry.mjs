// Which function plans which type of layer, and where its settings are.
//
// A planner takes (layer, shapes of bottoms, shapes of parameters) and returns the shapes of the
// tops, `macs` (products summed up) where it has any, and run(bottoms, tops, parameters), all
// Float32Array; tops are zero at first. `layer.fields` has the settings with Caffe's defaults,
// `layer.stated(n)` tells whether field n is there at all.

import * as arranging from "./arranging.mjs";
import * as convolution from "./convolution.mjs";
import * as elementwise from "./elementwise.mjs";
import * as normalization from "./normalization.mjs";
import * as pooling from "./pooling.mjs";

const NONE = [undefined, undefined, undefined];
const CONVOLUTION = ["convolution_param", "ConvolutionParameter", 106];

/** type -> [planner, name of its settings, their message, their field number]. */
export const LAYERS = new Map([
  ["AbsVal", [elementwise.absolute, ...NONE]],
  ["ArgMax", [arranging.argMax, "argmax_param", "ArgMaxParameter", 103]],
  ["BatchNorm", [normalization.batchNorm, "batch_norm_param", "BatchNormParameter", 139]],
  ["Bias", [elementwise.bias, "bias_param", "BiasParameter", 141]],
  ["BNLL", [elementwise.softplus, ...NONE]],
  ["Clip", [elementwise.clip, "clip_param", "ClipParameter", 148]],
  ["Concat", [arranging.concat, "concat_param", "ConcatParameter", 104]],
  ["Convolution", [convolution.convolution, ...CONVOLUTION]],
  ["ConvolutionDepthwise", [convolution.convolution, ...CONVOLUTION]],
  ["Crop", [arranging.crop, "crop_param", "CropParameter", 144]],
  ["Deconvolution", [convolution.deconvolution, ...CONVOLUTION]],
  ["DepthwiseConvolution", [convolution.convolution, ...CONVOLUTION]],
  ["Dropout", [arranging.same, ...NONE]],
  ["ELU", [elementwise.elu, "elu_param", "ELUParameter", 140]],
  ["Eltwise", [elementwise.eltwise, "eltwise_param", "EltwiseParameter", 110]],
  ["Embed", [convolution.embed, "embed_param", "EmbedParameter", 137]],
  ["Exp", [elementwise.exponential, "exp_param", "ExpParameter", 111]],
  ["Flatten", [arranging.flatten, "flatten_param", "FlattenParameter", 135]],
  ["InnerProduct", [convolution.innerProduct, "inner_product_param", "InnerProductParameter", 117]],
  ["LRN", [normalization.lrn, "lrn_param", "LRNParameter", 118]],
  ["Log", [elementwise.logarithm, "log_param", "LogParameter", 134]],
  ["MVN", [normalization.meanVariance, "mvn_param", "MVNParameter", 120]],
  ["PReLU", [elementwise.prelu, "prelu_param", "PReLUParameter", 131]],
  ["Pooling", [pooling.pooling, "pooling_param", "PoolingParameter", 121]],
  ["Power", [elementwise.power, "power_param", "PowerParameter", 122]],
  ["ReLU", [elementwise.relu, "relu_param", "ReLUParameter", 123]],
  ["ReLU6", [elementwise.relu6, ...NONE]],
  ["Reduction", [arranging.reduction, "reduction_param", "ReductionParameter", 136]],
  ["Reshape", [arranging.reshape, "reshape_param", "ReshapeParameter", 133]],
  ["SPP", [pooling.spatialPyramid, "spp_param", "SPPParameter", 132]],
  ["Scale", [elementwise.scale, "scale_param", "ScaleParameter", 142]],
  ["Sigmoid", [elementwise.sigmoidLayer, ...NONE]],
  ["Silence", [arranging.silence, ...NONE]],
  ["Slice", [arranging.slice, "slice_param", "SliceParameter", 126]],
  ["Softmax", [normalization.softmax, "softmax_param", "SoftmaxParameter", 125]],
  ["Split", [arranging.same, ...NONE]],
  ["Swish", [elementwise.swish, "swish_param", "SwishParameter", 147]],
  ["TanH", [elementwise.tanh, ...NONE]],
  ["Threshold", [elementwise.threshold, "threshold_param", "ThresholdParameter", 128]],
  ["Tile", [arranging.tile, "tile_param", "TileParameter", 138]],
]);
