import { addDims, type Dim, equalDims, floorDivideDim } from '../dimension.ts'
import { type Attribute, emitOne, graphError, type Value } from '../value.ts'

export interface ConvolutionShape {
  /** Pixels between two outputs: one number for both axes, or [down, across]. */
  readonly stride?: number | readonly [number, number]
  /** Zeros around the picture: one number for all sides, or [top, left, bottom, right]. */
  readonly pad?: number | readonly [number, number, number, number]
  /** Parts of the channels that are convolved apart; as many as there are channels is a depthwise convolution. */
  readonly groups?: number
}

/** Conv (opset 11): x [B, Cin, H, W], w [Cout, Cin/groups, kH, kW], bias [Cout] or null → [B, Cout, H', W']. */
export function conv(
  x: Value,
  w: Value,
  bias: Value | null,
  { stride = 1, pad = 0, groups = 1 }: ConvolutionShape = {},
): Value {
  const [batch, channels, height, width] = x.shape
  const [out, channelsW, kernelHeight, kernelWidth] = w.shape
  const groupChannels = channels && floorDivideDim(channels, groups)
  if (x.shape.length !== 4 || w.shape.length !== 4 || x.dtype !== w.dtype || !equalDims(groupChannels!, channelsW!)) {
    const inner = groups === 1 ? 'Cin' : `Cin/${groups}`
    throw graphError(conv, 'Conv', [x, w], `expected [B, Cin, H, W] and [Cout, ${inner}, kH, kW] of one dtype`)
  }
  if (bias && !(bias.shape.length === 1 && equalDims(bias.shape[0]!, out!))) {
    throw graphError(conv, 'Conv', [x, w, bias], 'expected a bias [Cout]')
  }
  const pads = typeof pad === 'number' ? [pad, pad, pad, pad] : pad
  const strides = typeof stride === 'number' ? [stride, stride] : stride
  const outHeight = outputSize(height!, Number(kernelHeight), pads[0]! + pads[2]!, strides[0]!)
  const outWidth = outputSize(width!, Number(kernelWidth), pads[1]! + pads[3]!, strides[1]!)
  if (outHeight === undefined || outWidth === undefined) {
    throw graphError(conv, 'Conv', [x, w], `expected open sizes that stride ${strides.join(', ')} divides`)
  }
  const attributes: Record<string, Attribute> = {
    kernel_shape: { ints: [Number(kernelHeight), Number(kernelWidth)] },
    pads: { ints: pads },
    strides: { ints: strides },
    ...(groups > 1 ? { group: { int: groups } } : {}),
  }
  return emitOne({ name: 'Conv' }, [x, w, bias], attributes, x.dtype, [batch!, out!, outHeight, outWidth])
}

function outputSize(size: Dim, kernel: number, pad: number, stride: number): Dim | undefined {
  const steps = floorDivideDim(addDims(size, pad - kernel), stride)
  return steps === undefined ? undefined : addDims(steps, 1)
}
