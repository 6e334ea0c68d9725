/**
 * One wrapper on Mantine's Tree. It adds what that leaves out: Enter opens a row, F2 and Delete act on
 * it, the chevron alone expands, and new branches come open. `data` must be memoised by the caller: a
 * fresh array each render is an endless loop in Mantine's tree.
 */
import { Tree, useTree, type TreeNodeData } from '@mantine/core'
import { ChevronRight } from 'lucide-react'
import { useMemo, useState, type KeyboardEvent, type ReactNode } from 'react'
import css from './tree.module.css'

interface Props {
  label: string
  data: TreeNodeData[]
  active: string | undefined
  open: (value: string) => void
  rename?: (value: string) => void
  remove?: (value: string) => void
  row: (node: TreeNodeData) => { content: ReactNode; actions?: ReactNode }
}

export function TreeView({ label, data, active, open, rename, remove, row }: Props) {
  const [closed, setClosed] = useState<Record<string, boolean>>({})
  const expandedState = useMemo(
    () => Object.fromEntries(data.map(({ value }) => [value, !closed[value]])),
    [data, closed],
  )
  const tree = useTree({
    expandedState,
    onExpandedStateChange: (state) =>
      setClosed(Object.fromEntries(Object.entries(state).map(([value, isOpen]) => [value, !isOpen]))),
  })
  const onKeyDown = (event: KeyboardEvent) => {
    const target = event.target as HTMLElement
    const value = target.dataset.value
    if (target.getAttribute('role') !== 'treeitem' || !value) return
    const act = { Enter: open, F2: rename, Delete: remove }[event.key]
    if (!act) return
    event.preventDefault()
    act(value)
  }
  return (
    <Tree
      data={data}
      tree={tree}
      levelOffset={18}
      expandOnClick={false}
      allowRangeSelection={false}
      aria-label={label}
      onKeyDown={onKeyDown}
      renderNode={({ node, elementProps, expanded, hasChildren, isRoot }) => {
        const { content, actions } = row(node)
        return (
          // Keys are handled by the treeitem around this, which also has the focus.
          <div
            {...elementProps}
            role="presentation"
            className={`${elementProps.className} ${css.row}`}
            data-active={node.value === active || undefined}
            onClick={(event) => {
              elementProps.onClick(event)
              open(node.value)
            }}
          >
            {isRoot && (
              <button
                type="button"
                tabIndex={-1}
                aria-hidden
                className={css.chevron}
                data-open={(expanded && hasChildren) || undefined}
                data-empty={!hasChildren || undefined}
                onClick={(event) => {
                  event.stopPropagation()
                  tree.toggleExpanded(node.value)
                }}
              >
                <ChevronRight size={13} />
              </button>
            )}
            {content}
            {actions && (
              <span role="presentation" className={css.actions} onClick={(event) => event.stopPropagation()}>
                {actions}
              </span>
            )}
          </div>
        )
      }}
    />
  )
}
