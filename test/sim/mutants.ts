/**
 * Deliberate mutations of the product, each against a promise of the house. Every one must be caught by the simulation (`npm run sim -- --mutants`): one
 * that survives is a hole in the simulation. Most are in code that every process runs; a few in the memory rooms, where the real rule is SQL or Lua.
 *
 * Not here, because nothing is promised: settling for a partition that was revoked (the group's offset is a mirror, and every zombie may write it), taking a
 * lost answer to COMMIT for "not stored" (the ledger's compare then sends the lane to its marks), leaving out the gate's own seek (the next batch does not
 * begin where it should, and is sent back by the same comparison).
 */
import type { Mutant } from './mutate.ts'

export const mutants: readonly Mutant[] = [
  // --- the ledger -------------------------------------------------------------------------------------------------------------------------------
  {
    name: 'ledger-not-compared',
    file: 'flow/persist/memory.ts',
    find: 'if (found === slice.firstOffset) continue',
    replace: 'if (found !== undefined) continue',
    breaks: 'a batch is stored only where the one before it ended',
  },
  {
    name: 'copy-outside-transaction',
    file: 'flow/persist/memory.ts',
    find: '    compare(batch)\n    const condemned: Condemned[] = []',
    replace:
      '    if (batch.slices.some((one) => standing(one) !== one.firstOffset)) for (const { day, bytes } of batch.copies) for (const fields of readCopy(bytes)) { const row = readRow(fields, day); if (!rows.has(row.id)) rows.set(row.id, row) }\n    compare(batch)\n    const condemned: Condemned[] = []',
    breaks: 'rows and ledger move in one transaction: a batch whose ledger change fails leaves no rows',
  },
  {
    name: 'rejects-outside-transaction',
    file: 'flow/persist/memory.ts',
    find: 'if (condemned.length > 0) throw new RefusedError(condemned)',
    replace:
      'if (condemned.length > 0) {\n      for (const one of batch.rejects.count === 0 ? [] : readCopy(batch.rejects.bytes).map(readReject)) database.rejects.set([one.consumer, one.topic, one.partition, one.offset].join("/"), one)\n      throw new RefusedError(condemned)\n    }',
    breaks: 'rejects are stored with the ledger, or not at all',
  },
  {
    name: 'lost-answer-means-stored',
    file: 'flow/persist/memory.ts',
    find: 'if (batch.slices.every(({ nextOffset }, index) => found[index] === nextOffset)) {',
    replace: 'if (found.length > 0) {',
    breaks: 'after a lost answer to COMMIT the ledger is the answer',
  },
  {
    name: 'ledger-not-surveyed',
    file: 'process/assignment.ts',
    find: 'if (found >= known || !this.#isCurrent(entry)',
    replace: 'if (found >= 0 || !this.#isCurrent(entry)',
    breaks: 'a database that goes back under an idle partition is noticed',
  },
  // --- where a partition starts --------------------------------------------------------------------------------------------------------------------
  {
    name: 'kafkas-offset-trusted',
    file: 'process/assignment.ts',
    find: 'if (batch.fetchedOffset !== entry.expected && !(await this.#mayJump(entry, batch, sought))) return false',
    replace: '',
    breaks: 'a partition goes on where the ledger says, not where Kafka says',
  },
  {
    name: 'starts-at-the-stored-mark',
    file: 'core/ledger.ts',
    find: 'nextOffset: Math.max(nextOffset, row.startOffset, watermarks.low),',
    replace: 'nextOffset: Math.max(row.nextOffset, watermarks.low),',
    breaks: 'a partition starts at the lowest of its marks',
  },
  {
    name: 'missing-stream-is-zero',
    file: 'core/ledger.ts',
    find: 'if (held >= expected) continue',
    replace: 'if (held >= expected || held === 0) continue',
    breaks: 'a missing stream is a lost stream',
  },
  {
    name: 'retention-unnoticed',
    file: 'core/ledger.ts',
    find: 'if (row.nextOffset < watermarks.low) {',
    replace: 'if (row.nextOffset < watermarks.low - 1e9) {',
    breaks: 'what retention took before it was stored stops its partition',
  },
  {
    name: 'stored-is-stored-again',
    file: 'process/assignment.ts',
    find: 'const again = nextOffset <= persistedOffset',
    replace: 'const again = nextOffset < persistedOffset',
    breaks: 'what is stored comes by again only to be published',
  },
  // --- the gate -----------------------------------------------------------------------------------------------------------------------------------
  {
    name: 'stale-state-reused',
    file: 'process/assignment.ts',
    find: 'return this.#entries.get(entry.partition) === entry',
    replace: 'return this.#entries.get(entry.partition) !== null && entry !== undefined',
    breaks: 'work of an earlier assignment recognises itself',
  },
  {
    name: 'dropped-seek',
    file: 'process/assignment.ts',
    find: 'on.sought(partition, batch.fetchedOffset, expected)\n      this.#seek(entry)',
    replace: 'on.sought(partition, batch.fetchedOffset, expected)',
    breaks: 'a client that reads elsewhere is sent back',
  },
  {
    name: 'waiting-is-evidence',
    file: 'process/assignment.ts',
    find: 'if (entry.sought !== sought) {',
    replace: 'if (entry.sought < 0) {',
    breaks: 'a jump is believed only after a seek back has led nowhere',
  },
  {
    name: 'stopped-for-ever',
    file: 'process/assignment.ts',
    find: 'if (entry.stopped !== null) consume.resume(partition)',
    replace: '',
    breaks: 'a partition that stood still goes on when an operator has decided',
  },
  {
    name: 'taken-twice-while-waiting',
    file: 'process/assignment.ts',
    find: 'if (!this.#isCurrent(entry) || entry.expected !== before || entry.state === null) {',
    replace: 'if (!this.#isCurrent(entry) || entry.state === null) {',
    breaks: 'a batch that waited for room is looked at again before it is taken',
  },
  {
    name: 'room-not-given-back',
    file: 'process/assignment.ts',
    find: 'budget.give(bytes)\n      return false',
    replace: 'return false',
    breaks: 'bytes in flight are given back where a batch is not taken after all',
  },
  {
    name: 'lanes-swapped',
    file: 'process/assignment.ts',
    find: 'lane.push({ ...chunk, bytes: share })',
    replace:
      'const other = this.#options.lanes[nextOffset % this.#options.lanes.length] as Lane\n      other.partitions.set(partition, state)\n      other.push({ ...chunk, bytes: share })',
    breaks: 'a partition is served by one lane, in order',
  },
  // --- lanes and hallway ------------------------------------------------------------------------------------------------------------------------------
  {
    name: 'budget-never-given-back',
    file: 'flow/lane.ts',
    find: 'this.#outstanding -= packed.bytes\n    this.#release(packed.bytes)',
    replace: 'this.#outstanding -= packed.bytes',
    breaks: 'what has left gives room back',
  },
  {
    name: 'marks-kept-on-reset',
    file: 'flow/lane.ts',
    find: 'for (const partition of [...this.partitions.keys()]) this.drop(partition)',
    replace: '',
    breaks: 'a lane that starts over forgets what it held',
  },
  {
    name: 'again-shares-a-batch',
    file: 'flow/lane.ts',
    find: '(chunk.again !== first.again || rows + chunk.records',
    replace: '(rows + chunk.records',
    breaks: 'what comes by again never shares a batch with new records',
  },
  {
    name: 'condemned-forgotten',
    file: 'flow/lane.ts',
    find: 'this.#condemned = [...this.#condemned, ...records]',
    replace: 'this.#condemned = records.length > 1e9 ? [...records] : []',
    breaks: 'a record that PostgreSQL refuses comes again as a reject',
  },
  {
    name: 'publish-before-persist',
    file: 'flow/pipeline.ts',
    find: 'const published = states.map(notedSince)\n    const stored',
    replace:
      'const published = states.map(notedSince)\n    await rooms.publish.publish(batch, null, states.map(({ streams }) => new Map(streams)), signal).catch(() => 0)\n    const stored',
    breaks: 'a subscriber never sees an event that is not durable',
  },
  {
    name: 'two-batches-stored-at-once',
    file: 'flow/pipeline.ts',
    find: 'stage(decoded, { ahead: 1, width: 1,',
    replace: 'stage(decoded, { ahead: 2, width: 2,',
    breaks: 'batches of a lane are stored in order',
  },
  {
    name: 'duplicates-published',
    file: 'flow/pipeline.ts',
    find: 'rooms.publish.publish(batch, foreign, streams, signal)',
    replace: 'rooms.publish.publish(batch, null, streams, signal)',
    breaks: "a producer's duplicate is no second entry",
  },
  {
    name: 'duplicates-counted',
    file: 'process/observe.ts',
    find: 'business?.stored(batch, known, takenMs, nowMs)',
    replace: 'business?.stored(batch, null, takenMs, nowMs)',
    breaks: "a producer's duplicate is not counted as an event",
  },
  {
    name: 'refill-told-to-the-ledger',
    file: 'flow/pipeline.ts',
    find: 'if (last <= (noted.get(family) ?? 0)) continue',
    replace: '',
    breaks: 'the ledger is not told of a stream that is being filled again',
  },
  {
    name: 'rooms-not-aborted',
    file: 'flow/pipeline.ts',
    find: 'const abort = (reason: unknown) => own.abort(reason)',
    replace: 'const abort = (_: unknown) => {}',
    breaks: 'what is lost ends what is under way in the other rooms',
  },
  {
    name: 'passed-over-is-published',
    file: 'flow/pipeline.ts',
    find: 'if (absence.passes(lane)) return { states, packed, trace }\n    const streams',
    replace:
      "if (absence.passes(lane)) {\n      advance(batch, states, 'publish')\n      return { states, packed, trace }\n    }\n    const streams",
    breaks: 'what was left unpublished while Redis is away is not marked as published',
  },
  {
    name: 'settled-before-published',
    file: 'flow/settle/settler.ts',
    find: "const targets = states.map((state) => state.marks.get('publish'))",
    replace: "const targets = states.map((state) => state.marks.get('consume'))",
    breaks: 'a commit never outruns a publish',
  },
  // --- Redis away, Redis that forgets ---------------------------------------------------------------------------------------------------------------
  {
    name: 'lane-not-left-behind',
    file: 'flow/absence.ts',
    find: 'if (this.#away) this.#behind.add(lane)\n    return this.#behind.has(lane)',
    replace: 'return this.#away || this.#behind.has(lane)',
    breaks: 'a lane that left a batch unpublished publishes nothing before it has started over',
  },
  {
    name: 'nobody-catches-up',
    file: 'process/serve-lanes.ts',
    find: 'if (absence.behind.has(lane)) relapses[index]?.abort(lost)',
    replace: 'if (absence.behind.size > 1e9) relapses[index]?.abort(lost)',
    breaks: 'what was left unpublished is published when Redis is back',
  },
  {
    name: 'relapse-never-ends',
    file: 'process/serve-lanes.ts',
    find: 'relapses[index] = new AbortController()\n',
    replace: '',
    breaks: 'a lane that has started over goes on',
  },
  {
    name: 'holes-are-filled-over',
    file: 'flow/publish/memory.ts',
    find: 'if (held < expected) throw new LostError',
    replace: 'if (held < expected - 1e9) throw new LostError',
    breaks: 'a stream that holds less than is known refuses what comes next',
  },
  {
    name: 'forgotten-unnoticed',
    file: 'process/forgotten.ts',
    find: 'if (found >= expected) continue',
    replace: 'if (found >= 0) continue',
    breaks: 'a stream that lost entries is filled again though nothing new comes',
  },
  {
    name: 'last-entry-forgotten-unnoticed',
    file: 'process/forgotten.ts',
    find: 'if (found >= expected) continue',
    replace: 'if (found >= expected - 1) continue',
    breaks: 'a stream that lost its last entry only is filled again',
  },
  {
    name: 'ids-off-by-one',
    file: 'flow/publish/memory.ts',
    find: 'const id = (rows.offset[row] as number) + 1',
    replace: 'const id = rows.offset[row] as number',
    breaks: "an entry's id is its Kafka offset + 1",
  },
]
