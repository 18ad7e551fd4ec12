/** /proc/<pid>/maps: the files that are mapped as code. */
export function parseMappedCode(text: string): string[] {
  const paths = new Set<string>();
  for (const line of text.split("\n")) {
    // address, permissions, offset, device, inode, path
    const match = /^\S+ ..x. \S+ \S+ [1-9]\d*\s+(\/.*)$/.exec(line);
    if (match?.[1] !== undefined && !match[1].endsWith(" (deleted)")) paths.add(match[1]);
  }
  return [...paths];
}
