import type { ComponentChild } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { Trouble } from './problem'

interface Page<Node> {
  readonly nodes: readonly Node[]
  readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor?: string | null }
}

/** A list that goes on as its end comes near, or at its button. */
export function EndlessList<Node extends { readonly id: string }>(props: {
  load: (after: string | null) => Promise<Page<Node>>
  show: (node: Node) => ComponentChild
  empty: string
}) {
  const [page, setPage] = useState<Page<Node> | null>(null)
  const [error, setError] = useState<unknown>(null)
  const end = useRef<HTMLButtonElement>(null)
  const more = () =>
    props.load(page?.pageInfo.endCursor ?? null).then((next) => {
      setError(null)
      setPage({ nodes: [...(page?.nodes ?? []), ...next.nodes], pageInfo: next.pageInfo })
    }, setError)
  useEffect(() => void more(), [])
  useEffect(() => {
    if (!end.current) return
    const seen = new IntersectionObserver(([entry]) => entry?.isIntersecting && void more(), { rootMargin: '300px' })
    seen.observe(end.current)
    return () => seen.disconnect()
  }, [page])
  return (
    <>
      <Trouble error={error} />
      {page?.nodes.length === 0 && <p>{props.empty}</p>}
      <ul class="grid">
        {page?.nodes.map((node) => (
          <li key={node.id}>{props.show(node)}</li>
        ))}
      </ul>
      {page?.pageInfo.hasNextPage && (
        <button ref={end} type="button" onClick={more}>
          More
        </button>
      )}
    </>
  )
}
