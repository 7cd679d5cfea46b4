// Runs in the page under test: what a person would see, measured by the browser itself.
globalThis.inspectPage = {
  /** Texts that are told from their ground by less than 4.5 to 1 (3 to 1 when large), as they are really painted. */
  weakTexts() {
    const weak = []
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
      const parent = node.parentElement
      if (node.data.trim() === '' || parent.closest('script, style, noscript, title') !== null) continue
      const style = getComputedStyle(parent)
      const box = parent.getBoundingClientRect()
      if (style.visibility === 'hidden' || box.width === 0 || box.right < 0) continue
      const ink = parse(parent instanceof SVGElement ? style.fill : style.color)
      const ground = groundOf(parent)
      const size = Number.parseFloat(style.fontSize)
      const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700)
      const ratio = contrast(ink, ground)
      if (ratio < (isLarge ? 3 : 4.5)) weak.push(`${ratio.toFixed(2)} ${node.data.trim().slice(0, 40)}`)
    }
    return weak
  },

  /** What is wider than the window, where nothing around it scrolls. */
  overflowing() {
    // Not the window's: a phone zooms out until all is in it.
    const width = document.documentElement.clientWidth
    if (document.documentElement.scrollWidth <= width) return []
    return [...document.querySelectorAll('body *')]
      .filter((element) => element.closest('.wide') === null && element.getBoundingClientRect().right > width + 1)
      .map((element) => `${element.tagName}.${element.className} ${Math.round(element.getBoundingClientRect().right)}`)
  },

  /** What is there to be pressed and smaller than a finger. */
  smallTargets() {
    return [...document.querySelectorAll('button, [role="option"], fieldset label')]
      .map((element) => [element, element.getBoundingClientRect()])
      .filter(([, { width, height }]) => width > 0 && (width < 24 || height < 24))
      .map(([element, { width, height }]) => `${element.textContent.trim()} ${Math.round(width)}x${Math.round(height)}`)
  },

  /** The focused element in a word, and whether its focus is to be seen. */
  focused() {
    const element = document.activeElement
    const { outlineStyle, outlineWidth } = getComputedStyle(element)
    const name =
      element.id || element.getAttribute('href') || element.getAttribute('aria-labelledby') || element.tagName
    return { name, isSeen: outlineStyle !== 'none' && Number.parseFloat(outlineWidth) >= 2 }
  },
}

function parse(colour) {
  const [red, green, blue, alpha = 1] = colour.match(/[\d.]+/g).map(Number)
  return { red, green, blue, alpha }
}

/** The first opaque ground behind an element; what shines through is mixed in. */
function groundOf(element) {
  const layers = []
  for (let at = element; at !== null; at = at.parentElement) {
    const colour = parse(getComputedStyle(at).backgroundColor)
    if (colour.alpha > 0) layers.push(colour)
    if (colour.alpha === 1) break
  }
  let ground = { red: 255, green: 255, blue: 255, alpha: 1 }
  for (const { red, green, blue, alpha } of layers.toReversed()) {
    const mix = (over, under) => over * alpha + under * (1 - alpha)
    ground = { red: mix(red, ground.red), green: mix(green, ground.green), blue: mix(blue, ground.blue), alpha: 1 }
  }
  return ground
}

function contrast(one, other) {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b)
  return (high + 0.05) / (low + 0.05)
}

function luminance({ red, green, blue }) {
  const linear = (value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4)
  return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
}
