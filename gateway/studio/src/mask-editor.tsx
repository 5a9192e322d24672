import { useEffect, useRef, useState } from 'preact/hooks'
import { Trouble } from './problem'

const undoSteps = 20
const tint = '#e5338a'

/**
 * Marks the thing in a photo with a brush. `onDone` gets the mask as PNG, white where the thing is, and once alone:
 * there is nothing to press until it is through.
 */
export function MaskEditor(props: {
  photo: string
  mask: string | null
  onDone: (mask: Blob) => Promise<void>
  onCancel: () => void
}) {
  const canvas = useRef<HTMLCanvasElement>(null)
  const past = useRef<ImageData[]>([])
  const future = useRef<ImageData[]>([])
  const last = useRef<readonly [number, number] | null>(null)
  const cursor = useRef<[number, number]>([0.5, 0.5])
  const [erases, setErases] = useState(false)
  const [size, setSize] = useState(8)
  const [zoom, setZoom] = useState(1)
  const [, redraw] = useState(0)
  // A stroke made before the mask is there would be painted over by it.
  const [isOpen, setIsOpen] = useState(false)
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>(null)
  const context = () => canvas.current!.getContext('2d', { willReadFrequently: true })!
  const all = () => context().getImageData(0, 0, canvas.current!.width, canvas.current!.height)

  useEffect(() => void open(canvas.current!, props.photo, props.mask).then(() => setIsOpen(true), setError), [])

  const remember = () => {
    past.current = [...past.current, all()].slice(-undoSteps)
    future.current = []
    redraw((n) => n + 1)
  }
  const step = (from: typeof past, to: typeof past) => {
    const state = from.current.pop()
    if (!state) return
    to.current.push(all())
    context().putImageData(state, 0, 0)
    redraw((n) => n + 1)
  }
  const stroke = (x: number, y: number) => {
    const paint = context()
    const { width, height } = canvas.current!
    paint.globalCompositeOperation = erases ? 'destination-out' : 'source-over'
    paint.strokeStyle = tint
    paint.lineCap = 'round'
    paint.lineWidth = (size / 100) * width
    paint.beginPath()
    const [startX, startY] = last.current ?? [x, y]
    paint.moveTo(startX * width, startY * height)
    paint.lineTo(x * width, y * height + 0.01)
    paint.stroke()
    last.current = [x, y]
  }
  const placeOf = (event: PointerEvent): [number, number] => {
    const box = canvas.current!.getBoundingClientRect()
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]
  }
  const onKey = (event: KeyboardEvent) => {
    if (!isOpen) return
    const moves: Record<string, [number, number]> = {
      ArrowLeft: [-1, 0],
      ArrowRight: [1, 0],
      ArrowUp: [0, -1],
      ArrowDown: [0, 1],
    }
    const move = moves[event.key]
    if (move) {
      const [x, y] = cursor.current
      cursor.current = [x + (move[0] * size) / 200, y + (move[1] * size) / 200]
      last.current = null
      // A key that is held draws one line, which is undone as one.
      if (event.shiftKey && !event.repeat) remember()
      if (event.shiftKey) stroke(...cursor.current)
    } else if (event.key === ' ') {
      remember()
      last.current = null
      stroke(...cursor.current)
    } else if (event.key === 'z' && (event.ctrlKey || event.metaKey)) {
      step(past, future)
    } else {
      return
    }
    event.preventDefault()
  }
  const finish = () => {
    const { data, width, height } = all()
    for (let i = 0; i < data.length; i += 4) data.fill(data[i + 3]! > 127 ? 255 : 0, i, i + 3).fill(255, i + 3, i + 4)
    const whole = new OffscreenCanvas(width, height)
    whole.getContext('2d')!.putImageData(new ImageData(data, width, height), 0, 0)
    setBusy(true)
    void whole
      .convertToBlob({ type: 'image/png' })
      .then(props.onDone)
      .catch(setError)
      .finally(() => setBusy(false))
  }

  return (
    <section class="editor" aria-label="Mask editor">
      <Trouble error={error} />
      <div class="row" role="toolbar" aria-label="Brush">
        <button type="button" aria-pressed={!erases} onClick={() => setErases(false)}>
          Add
        </button>
        <button type="button" aria-pressed={erases} onClick={() => setErases(true)}>
          Erase
        </button>
        <button type="button" disabled={past.current.length === 0} onClick={() => step(past, future)}>
          Undo
        </button>
        <button type="button" disabled={future.current.length === 0} onClick={() => step(future, past)}>
          Redo
        </button>
        <label>
          Brush
          <input type="range" min="1" max="30" value={size} onInput={(e) => setSize(+e.currentTarget.value)} />
        </label>
        <label>
          Zoom
          <input
            type="range"
            min="1"
            max="4"
            step="0.5"
            value={zoom}
            onInput={(e) => setZoom(+e.currentTarget.value)}
          />
        </label>
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what overflows is scrolled by keyboard too */}
      <section class="easel" tabIndex={0} aria-label="Zoomed photo">
        <div class="sheet" style={{ width: `${zoom * 100}%` }}>
          <img src={props.photo} alt="" />
          {/* biome-ignore lint/a11y/noInteractiveElementToNoninteractiveRole: a canvas is drawn on; its keys are its own */}
          <canvas
            ref={canvas}
            tabIndex={0}
            role="application"
            aria-busy={!isOpen}
            aria-label="Mask: arrows move the brush, space paints, shift with arrows draws, control Z undoes"
            onKeyDown={onKey}
            onPointerDown={(event) => {
              if (!isOpen || event.button !== 0 || !event.isPrimary) return
              canvas.current!.setPointerCapture(event.pointerId)
              remember()
              last.current = null
              stroke(...placeOf(event))
            }}
            onPointerMove={(event) => {
              if (event.isPrimary && event.buttons === 1 && last.current) stroke(...placeOf(event))
            }}
            onPointerUp={() => {
              last.current = null
            }}
          />
        </div>
      </section>
      <div class="row">
        <button type="button" class="primary" disabled={!isOpen || busy} onClick={finish}>
          {busy ? 'Looking …' : 'Use this mask'}
        </button>
        <button type="button" disabled={busy} onClick={props.onCancel}>
          Leave it
        </button>
      </div>
    </section>
  )
}

async function open(canvas: HTMLCanvasElement, photo: string, mask: string | null): Promise<void> {
  const picture = await read(mask ?? photo)
  const scale = Math.min(1, 1024 / Math.max(picture.naturalWidth, picture.naturalHeight))
  canvas.width = Math.round(picture.naturalWidth * scale)
  canvas.height = Math.round(picture.naturalHeight * scale)
  if (!mask) return
  const context = canvas.getContext('2d', { willReadFrequently: true })!
  context.drawImage(picture, 0, 0, canvas.width, canvas.height)
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height)
  const { data } = pixels
  for (let i = 0; i < data.length; i += 4) data.set([229, 51, 138, data[i]!], i)
  context.putImageData(pixels, 0, 0)
}

async function read(url: string): Promise<HTMLImageElement> {
  const image = new Image()
  image.src = url
  await image.decode()
  return image
}
