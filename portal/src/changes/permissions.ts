/** Permissions in words: of a mode as `ls -l` shows it, and of a security descriptor (SDDL). */

const CLASSES = ["owner", "group", "others"];

/** `-rwsr-x---` as `4750: owner read, write, run with the owner's rights; group read, run; others nothing`. */
export function modeText(mode: string): string {
  const found = /^.([r-][w-][xsS-])([r-][w-][xsS-])([r-][w-][xtT-])/.exec(mode);
  if (!found) return "";
  const parts = found.slice(1);
  let special = 0;
  const digits: number[] = [];
  const words = parts.map((part, at) => {
    const last = part[2] ?? "-";
    digits.push((part[0] === "r" ? 4 : 0) + (part[1] === "w" ? 2 : 0) + ("xst".includes(last) ? 1 : 0));
    if ("sStT".includes(last)) special += [4, 2, 1][at] ?? 0;
    const may: string[] = [];
    if (part[0] === "r") may.push("read");
    if (part[1] === "w") may.push("write");
    if ("xst".includes(last)) may.push("run");
    if ("sS".includes(last)) may.push(at === 0 ? "set user id" : "set group id");
    if ("tT".includes(last)) may.push("sticky");
    return `${CLASSES[at]} ${may.join(", ") || "nothing"}`;
  });
  return `${special}${digits.join("")}: ${words.join("; ")}`;
}

/** Rights and trustees of SDDL that are common on files, services and keys (MS-DTYP 2.5.1.1). */
const RIGHTS: Record<string, string> = {
  FA: "full control",
  FR: "read",
  FW: "write",
  FX: "run",
  GA: "everything",
  GR: "read",
  GW: "write",
  GX: "run",
  KA: "full control",
  KR: "read",
  KW: "write",
  "0x1f01ff": "full control",
  "0x1301bf": "modify",
  "0x1200a9": "read and run",
  "0x120089": "read",
};
const TRUSTEES: Record<string, string> = {
  AN: "Anonymous",
  AU: "Authenticated Users",
  BA: "Administrators",
  BG: "Guests",
  BU: "Users",
  CG: "Creator Group",
  CO: "Creator Owner",
  IU: "Interactive",
  LS: "Local Service",
  NS: "Network Service",
  PU: "Power Users",
  SU: "Service",
  SY: "System",
  WD: "Everyone",
  AC: "All Application Packages",
};
const KINDS: Record<string, string> = { A: "allow", D: "deny", AU: "audit", OA: "allow", OD: "deny" };

const named = (trustee: string) =>
  TRUSTEES[trustee] ?? (trustee.startsWith("S-1-5-80-") ? `service ${trustee}` : trustee);

/** One line for the owner, the group, and every entry; empty: this is no SDDL. */
export function sddlLines(text: string): string[] {
  const found = /^(?:O:([A-Z]{2}|S-[\d-]+))?(?:G:([A-Z]{2}|S-[\d-]+))?(?:D:(.*))?$/s.exec(text);
  if (!found || !text) return [];
  const [, owner, group, entries = ""] = found;
  const lines: string[] = [];
  if (owner) lines.push(`owner ${named(owner)}`);
  if (group) lines.push(`group ${named(group)}`);
  for (const [, entry = ""] of entries.matchAll(/\(([^()]*)\)/g)) {
    const [kind = "", flags = "", rights = "", , , trustee = ""] = entry.split(";");
    const may = RIGHTS[rights.toLowerCase().startsWith("0x") ? rights.toLowerCase() : rights] ?? rights;
    const from = flags.includes("ID") ? " (inherited)" : "";
    lines.push(`${KINDS[kind] ?? kind} ${may}: ${named(trustee)}${from}`);
  }
  return lines;
}
