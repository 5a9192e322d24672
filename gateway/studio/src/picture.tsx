import { ownAddress } from './api'

/** A square picture with its mask as a tint over it. */
export function Picture(props: {
  url: string | undefined
  alt: string
  mask?: string | null | undefined
  onShown?: () => void
}) {
  const mask = props.mask && `url("${ownAddress(props.mask)}")`
  return (
    <div class="picture">
      {props.url ? <img src={ownAddress(props.url)} alt={props.alt} onLoad={props.onShown} /> : <span class="wait" />}
      {mask && <span class="tint" style={{ maskImage: mask }} />}
    </div>
  )
}
