import { useEffect, useState } from 'preact/hooks'
import { ownAddress } from './api'

/** A square picture with its mask as a tint over it. */
export function Picture(props: {
  url: string | undefined
  alt: string
  mask?: string | null | undefined
  /** Gets the address as the API gave it. */
  onShown?: (url: string) => void
}) {
  const url = useLoaded(props.url)
  const mask = useLoaded(props.mask)
  return (
    <div class="picture">
      {url ? <img src={ownAddress(url)} alt={props.alt} onLoad={() => props.onShown?.(url)} /> : <span class="wait" />}
      {mask && <span class="tint" style={{ maskImage: `url("${ownAddress(mask)}")` }} />}
    </div>
  )
}

/** The latest address whose picture is there: previews may be gone again before they have come. */
function useLoaded(url: string | null | undefined): string | null {
  const [loaded, setLoaded] = useState<string | null>(null)
  useEffect(() => {
    if (!url) return setLoaded(null)
    let isLatest = true
    const image = new Image()
    image.src = ownAddress(url)
    image.decode().then(
      () => isLatest && setLoaded(url),
      () => undefined,
    )
    return () => {
      isLatest = false
    }
  }, [url])
  return loaded
}
