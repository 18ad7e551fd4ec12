/** What groups of rows of assay.coverage (AS c) add up to: windows, covered_ms, late_parts, events and dropped by kind. */
export const windowSums = `uniqExact(c.window_start) AS windows,
  least(sum(c.covered_ms), windows * toUInt64(max(c.window_end - c.window_start) * 1000)) AS covered_ms,
  countIf(c.closed_by = 'supplement') AS late_parts,
  sumMap(c.windowed) AS events, sumMap(c.dropped) AS dropped`;
