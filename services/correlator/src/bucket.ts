/** State is checkpointed in buckets, of which only those that changed are written: an entry's bucket follows from its id alone. */
export const buckets = 64;

export function bucketOf(id: string): number {
  let hash = 0;
  for (let i = 0; i < id.length; i++) hash = (Math.imul(hash, 31) + id.charCodeAt(i)) | 0;
  return (hash >>> 0) % buckets;
}

/** Of an application's window: a closed one stays as it is, and so isn't written again. */
export function windowBucketOf(application_id: string, window_start: number): number {
  return bucketOf(`${application_id}/${window_start}`);
}
