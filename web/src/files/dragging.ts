/** The type under which a row's path travels while it is dragged. */
export const DRAGGED = 'application/x-cattery-path'
