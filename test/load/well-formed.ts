/** A small judge of XML: tags close in order, attributes are quoted and stand once, text holds no bare `<` or `&`. */
import assert from 'node:assert/strict'

const token = /<!DOCTYPE html>|<(\/?)([a-zA-Z][\w-]*)((?:\s+[\w-]+="[^"<]*")*)\s*(\/?)>|([^<]+)/gy

export function assertWellFormed(text: string): void {
  const open: string[] = []
  token.lastIndex = 0
  let at = 0
  while (at < text.length) {
    const found = token.exec(text)
    assert.ok(found, `not well-formed at ${at}: ${JSON.stringify(text.slice(at, at + 80))}`)
    at = token.lastIndex
    const [, closing, name, attributes = '', empty, content] = found
    // The text of a style element is its own language, and XML's too as long as it has none of these.
    const bare = `${attributes}${content ?? ''}`.replaceAll(/&(?:amp|lt|gt|quot|#39);/g, '')
    assert.ok(!bare.includes('&'), `a bare & near ${JSON.stringify(bare.slice(0, 80))}`)
    if (name === undefined) continue
    const names = [...attributes.matchAll(/([\w-]+)="[^"]*"/g)].map(([, one]) => one)
    assert.equal(new Set(names).size, names.length, `${name} has an attribute twice`)
    if (closing) assert.equal(open.pop(), name, `</${name}> at ${at}`)
    else if (!empty) open.push(name)
  }
  assert.deepEqual(open, [], 'left open')
}
