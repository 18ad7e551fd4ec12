/**
 * One evidence item as compiled rules see it. Fields have slots (small numbers, the same for a whole rule set), and what is derived
 * of a field's value is derived once for all rules. The one view of a rule set is loaded with item after item.
 */
import type { EvidenceItem, FieldValue } from "../rule";
import { fold } from "./fold";

export class FieldSlots {
  readonly names: string[] = [];
  private readonly byName = new Map<string, number>();

  slotOf(name: string): number {
    const known = this.byName.get(name);
    if (known !== undefined) return known;
    const slot = this.names.length;
    this.names.push(name);
    this.byName.set(name, slot);
    return slot;
  }
}

const none: readonly string[] = [];

export class FieldView {
  private fields: EvidenceItem["fields"] = {};
  /** Which load a slot was derived for. */
  private readonly loads: number[];
  private load_count = 0;
  private readonly present: boolean[];
  private readonly nulls: boolean[];
  private readonly texts: (string | undefined)[];
  private readonly folded: (string | undefined)[];
  private readonly lists: (readonly string[])[];
  private readonly foldedLists: (readonly string[])[];
  private everyText: readonly string[] | undefined;
  private everyFolded: readonly string[] | undefined;

  constructor(private readonly names: readonly string[]) {
    const count = names.length;
    this.loads = new Array(count).fill(0);
    this.present = new Array(count).fill(false);
    this.nulls = new Array(count).fill(true);
    this.texts = new Array(count).fill(undefined);
    this.folded = new Array(count).fill(undefined);
    this.lists = new Array(count).fill(none);
    this.foldedLists = new Array(count).fill(none);
  }

  load(item: EvidenceItem): void {
    this.fields = item.fields;
    this.load_count++;
    this.everyText = undefined;
    this.everyFolded = undefined;
  }

  /** The value as text; undefined where the field is absent, null or a list. */
  text(slot: number): string | undefined {
    if (this.loads[slot] !== this.load_count) this.derive(slot);
    return this.texts[slot];
  }

  foldedText(slot: number): string | undefined {
    if (this.loads[slot] !== this.load_count) this.derive(slot);
    return this.folded[slot];
  }

  /** The elements of a list; empty where the value isn't one. */
  list(slot: number): readonly string[] {
    if (this.loads[slot] !== this.load_count) this.derive(slot);
    return this.lists[slot] ?? none;
  }

  foldedList(slot: number): readonly string[] {
    if (this.loads[slot] !== this.load_count) this.derive(slot);
    return this.foldedLists[slot] ?? none;
  }

  /** Whether the field is there, be it null. */
  has(slot: number): boolean {
    if (this.loads[slot] !== this.load_count) this.derive(slot);
    return this.present[slot] === true;
  }

  /** Whether the field is absent or null. */
  isNull(slot: number): boolean {
    if (this.loads[slot] !== this.load_count) this.derive(slot);
    return this.nulls[slot] === true;
  }

  /** Every value of every field, for keywords. */
  all(): readonly string[] {
    this.everyText ??= Object.values(this.fields).flatMap(textsOf);
    return this.everyText;
  }

  allFolded(): readonly string[] {
    this.everyFolded ??= this.all().map(fold);
    return this.everyFolded;
  }

  private derive(slot: number): void {
    const value = this.fields[this.names[slot] ?? ""];
    const isList = Array.isArray(value);
    const values = textsOf(value);
    const text = isList ? undefined : values[0];
    this.loads[slot] = this.load_count;
    this.present[slot] = isList || text !== undefined || value === null;
    this.nulls[slot] = !isList && text === undefined;
    this.texts[slot] = text;
    this.folded[slot] = text === undefined ? undefined : fold(text);
    this.lists[slot] = isList ? values : none;
    this.foldedLists[slot] = isList ? values.map(fold) : none;
  }
}

/** What isn't a value of a field, such as what a name inherits from Object, counts as absent. */
function textsOf(value: FieldValue | undefined): readonly string[] {
  if (typeof value === "string") return [value];
  if (typeof value === "number" || typeof value === "boolean") return [String(value)];
  if (Array.isArray(value)) return value.filter((v) => typeof v === "string" || typeof v === "number").map(String);
  return none;
}
