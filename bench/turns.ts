/** Several ways in rounds of alternating order: what changes with time, changes for all of them. */
export async function inTurns<Name extends string, Found>(
  names: readonly Name[],
  rounds: number,
  run: (name: Name) => Promise<Found>,
  say: (round: number, name: Name, found: Found) => void,
): Promise<Record<Name, Found[]>> {
  const all = Object.fromEntries(names.map((name): [Name, Found[]] => [name, []])) as Record<Name, Found[]>
  for (let round = 0; round < rounds; round++) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      const found = await run(name)
      all[name].push(found)
      say(round + 1, name, found)
    }
  }
  return all
}
