import { useEffect, useRef } from 'preact/hooks'

/** Leads on to another view, but not whoever has left meanwhile the one that asked for it. */
export function useGoOn(): (hash: string) => void {
  const isHere = useRef(true)
  useEffect(
    () => () => {
      isHere.current = false
    },
    [],
  )
  return (hash) => {
    if (isHere.current) location.hash = hash
  }
}
