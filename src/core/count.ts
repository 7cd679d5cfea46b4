/** A whole number for people: 1,234,567. */
export const count = (value: number): string => Math.round(value).toLocaleString('en')
