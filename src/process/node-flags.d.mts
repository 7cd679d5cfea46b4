export const nodeFlags: readonly string[]
export const loadFlags: readonly string[]
