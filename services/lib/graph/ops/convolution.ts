import { addDims, type Dim, equalDims, floorDivideDim } from '../dimension.ts'
import { type Attribute, emitOne, graphError, type Value } from '../value.ts'

export interface ConvolutionShape {
  /** Pixels between two outputs, along both axes. */
  readonly stride?: number
  /** Zeros around the picture: one number for all sides, or [top, left, bottom, right]. */
  readonly pad?: number | readonly [number, number, number, number]
}

/** Conv (opset 11): x [B, Cin, H, W], w [Cout, Cin, kH, kW], bias [Cout] or null → [B, Cout, H', W']. */
export function conv(x: Value, w: Value, bias: Value | null, { stride = 1, pad = 0 }: ConvolutionShape = {}): Value {
  const [batch, channels, height, width] = x.shape
  const [out, channelsW, kernelHeight, kernelWidth] = w.shape
  if (x.shape.length !== 4 || w.shape.length !== 4 || x.dtype !== w.dtype || !equalDims(channels!, channelsW!)) {
    throw graphError(conv, 'Conv', [x, w], 'expected [B, Cin, H, W] and [Cout, Cin, kH, kW] of one dtype')
  }
  if (bias && !(bias.shape.length === 1 && equalDims(bias.shape[0]!, out!))) {
    throw graphError(conv, 'Conv', [x, w, bias], 'expected a bias [Cout]')
  }
  const pads = typeof pad === 'number' ? [pad, pad, pad, pad] : pad
  const outHeight = outputSize(height!, Number(kernelHeight), pads[0]! + pads[2]!, stride)
  const outWidth = outputSize(width!, Number(kernelWidth), pads[1]! + pads[3]!, stride)
  if (outHeight === undefined || outWidth === undefined) {
    throw graphError(conv, 'Conv', [x, w], `expected open sizes that stride ${stride} divides`)
  }
  const attributes: Record<string, Attribute> = {
    kernel_shape: { ints: [Number(kernelHeight), Number(kernelWidth)] },
    pads: { ints: pads },
    strides: { ints: [stride, stride] },
  }
  return emitOne({ name: 'Conv' }, [x, w, bias], attributes, x.dtype, [batch!, out!, outHeight, outWidth])
}

function outputSize(size: Dim, kernel: number, pad: number, stride: number): Dim | undefined {
  const steps = floorDivideDim(addDims(size, pad - kernel), stride)
  return steps === undefined ? undefined : addDims(steps, 1)
}
