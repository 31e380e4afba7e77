/** What a data source can say: every field with its spellings, help and default (docs/formats/rules.md). */
import type { JsonObject } from "./document";

export interface FieldSpec {
  /** The usual spelling first. */
  names: string[];
  /** Keys that say the same, and are changed along where they are there. */
  also?: string[];
  label: string;
  hint: string;
  kind: "text" | "boolean" | "number" | "choice" | "lines";
  fallback: string | number | boolean;
  choices?: string[];
  required?: boolean;
  /** Behind "More": rarely changed. */
  rare?: boolean;
}

export type SectionName = "Files" | "Registry" | "Software" | "Services" | "Inventory";

export interface Section {
  name: SectionName;
  enable: FieldSpec;
  /** Spellings of the object that holds the rest. */
  settings: string[];
  frequency: FieldSpec;
  items?: { names: string[]; one: string; path: string[]; fields: FieldSpec[]; fresh: JsonObject };
}

const enable = (name: string, fallback: boolean, hint: string): FieldSpec => ({
  names: [`enable${name}`],
  label: `Collect ${name.toLowerCase()}`,
  hint,
  kind: "boolean",
  fallback,
});

const frequency = (names: string[], fallback: number, hint: string): FieldSpec => ({
  names,
  label: "Frequency",
  hint: `${hint} Seconds, from 1 to a year.`,
  kind: "number",
  fallback,
});

const NAME: FieldSpec = {
  names: ["name"],
  label: "Name",
  hint: "Stands in records as RuleName; each name once in the list.",
  kind: "text",
  fallback: "",
  required: true,
};
const ENABLED: FieldSpec = {
  names: ["enabled"],
  label: "Enabled",
  hint: "Without it the item is kept, and takes nothing.",
  kind: "boolean",
  fallback: true,
};
const GROUP_TAG: FieldSpec = {
  names: ["groupTag"],
  label: "Group tag",
  hint: "Such as Recommended or Custom; sorts items for people.",
  kind: "text",
  fallback: "",
  rare: true,
};
const DESCRIPTION: FieldSpec = {
  names: ["description"],
  label: "Description",
  hint: "For people.",
  kind: "text",
  fallback: "",
  rare: true,
};

const recurse = (hint: string): FieldSpec => ({
  names: ["recurse", "recursive"],
  label: "Recursive",
  hint,
  kind: "boolean",
  fallback: false,
});

function contents(): FieldSpec[] {
  return [
    {
      names: ["uploadContent"],
      label: "Upload content",
      hint: "Keeps what files hold, for comparing. The machine's policy never gives out account, key and secret files.",
      kind: "boolean",
      fallback: false,
    },
    {
      names: ["checksum"],
      label: "Checksum",
      hint: "Md5 is accepted; the checksum is SHA-256 either way.",
      kind: "choice",
      choices: ["Sha256", "Md5"],
      fallback: "Sha256",
      rare: true,
    },
    {
      names: ["maxContentsReturnable"],
      label: "Most content of a file",
      hint: "Bytes; of larger files no content is kept.",
      kind: "number",
      fallback: 5_000_000,
      rare: true,
    },
    {
      names: ["maxOutputSize"],
      label: "Most output",
      hint: "Bytes. Kept for Azure's agent.",
      kind: "number",
      fallback: 500_000,
      rare: true,
    },
  ];
}

function files(windows: boolean): FieldSpec[] {
  return [
    NAME,
    {
      names: windows ? ["path", "destinationPath"] : ["destinationPath", "path"],
      label: "Path",
      hint: windows
        ? "With drive, or a variable of the machine such as %winDir%. Wildcards * ? ** in any segment; *.* is every name."
        : "Absolute. Wildcards * ? ** [ ] in any segment; in the last, .* is “anything” as in Azure. A variable of the machine is written $\u{7b}NAME}.",
      kind: "text",
      fallback: "",
      required: true,
    },
    ENABLED,
    recurse("Also everything below, at any depth."),
    {
      names: ["pathType"],
      also: ["type"],
      label: "Path type",
      hint: `File takes no folders; ${windows ? "Folder" : "Directory"} takes the folder itself and what is in it; Any takes whatever matches.`,
      kind: "choice",
      choices: ["File", windows ? "Folder" : "Directory", "Any"],
      fallback: "File",
    },
    {
      names: ["exclude", "excludes"],
      label: "Leave out",
      hint: `One entry a line: ${windows ? "a path, or a name such as *.tmp at any depth" : "a path that begins with /, or a name such as *.swp at any depth"}, with everything below. Not known to Azure, which ignores it.`,
      kind: "lines",
      fallback: "",
    },
    {
      names: ["links"],
      label: "Links",
      hint: "Follow: the link and what it leads to. Manage: the link itself. Ignore: no links.",
      kind: "choice",
      choices: ["Follow", "Manage", "Ignore"],
      fallback: windows ? "Manage" : "Follow",
    },
    ...contents(),
    {
      names: ["networkFileSystems"],
      label: "Network file systems",
      hint: "Also what lies on other machines, if the machine's policy allows it. Not known to Azure.",
      kind: "boolean",
      fallback: false,
      rare: true,
    },
    ...(windows
      ? []
      : [
          {
            names: ["useSudo"],
            label: "Use sudo",
            hint: "Kept for Azure's agent; the tracker runs as root.",
            kind: "boolean",
            fallback: true,
            rare: true,
          } satisfies FieldSpec,
        ]),
    GROUP_TAG,
    DESCRIPTION,
  ];
}

const REGISTRY: FieldSpec[] = [
  NAME,
  {
    names: ["keyName"],
    label: "Key",
    hint: "Begins with a hive, such as HKEY_LOCAL_MACHINE\\. Both views are looked at; * and ? are wildcards in a name, ** is any number of keys.",
    kind: "text",
    fallback: "",
    required: true,
  },
  {
    names: ["valueName"],
    label: "Value",
    hint: "Empty: every value of the key. (Default) is the one without a name.",
    kind: "text",
    fallback: "",
  },
  ENABLED,
  recurse("Also all keys below."),
  GROUP_TAG,
  DESCRIPTION,
];

function fileSection(windows: boolean): Section {
  const common = { enabled: true, recurse: true, pathType: "File", checksum: "Sha256", uploadContent: false };
  const limits = { maxContentsReturnable: 5_000_000, maxOutputSize: 500_000, groupTag: "Custom" };
  return {
    name: "Files",
    enable: enable("Files", true, "Without it no file of this data source is looked at."),
    settings: ["fileSettings"],
    frequency: frequency(
      ["fileCollectionFrequency"],
      windows ? 2700 : 900,
      "How often everything is looked at; changes that the system tells of are looked at within seconds.",
    ),
    items: {
      names: ["fileInfo"],
      one: "file item",
      path: windows ? ["path", "destinationPath"] : ["destinationPath", "path"],
      fields: files(windows),
      fresh: windows
        ? { name: "", path: "", ...common, ...limits }
        : { name: "", destinationPath: "", useSudo: true, type: "File", links: "Follow", ...common, ...limits },
    },
  };
}

/** The sections of a data source of an extension. */
export function sectionsOf(extension: string): Section[] {
  const windows = extension.toLowerCase().endsWith("windows");
  const registry: Section = {
    name: "Registry",
    enable: enable("Registry", true, "Without it no key of this data source is looked at."),
    settings: ["registrySettings", "registrySettingsObjectList"],
    frequency: frequency(["registryCollectionFrequency"], 3000, "How often the keys are looked at."),
    items: {
      names: ["registryInfo", "registrySettingsObjectList"],
      one: "registry item",
      path: ["keyName"],
      fields: REGISTRY,
      fresh: {
        name: "",
        groupTag: "Custom",
        enabled: true,
        recurse: false,
        description: "",
        keyName: "",
        valueName: "",
      },
    },
  };
  return [
    fileSection(windows),
    ...(windows ? [registry] : []),
    {
      name: "Software",
      enable: enable("Software", true, "Programs, packages and updates that are installed."),
      settings: ["softwareSettings"],
      frequency: frequency(["softwareCollectionFrequency"], windows ? 1800 : 300, "How often the list is compared."),
    },
    {
      name: "Services",
      enable: enable("Services", true, windows ? "Windows services." : "Daemons: units of systemd, and init scripts."),
      settings: ["servicesSettings", "serviceSettings"],
      frequency: frequency(
        ["serviceCollectionFrequency", "servicesCollectionFrequency"],
        windows ? 1800 : 300,
        "How often the list is compared.",
      ),
    },
    {
      name: "Inventory",
      enable: enable("Inventory", true, "Keeps the list of what is there beside its changes."),
      settings: ["inventorySettings"],
      frequency: frequency(["inventoryCollectionFrequency"], 36_000, "How often the whole inventory is confirmed."),
    },
  ];
}

/** A value as the server reads it: numbers and booleans may stand as text, and words in any case. */
export function asBoolean(value: unknown, fallback: boolean): boolean {
  const word = String(value).trim().toLowerCase();
  return word === "true" || word === "1" ? true : word === "false" || word === "0" ? false : fallback;
}

const SYNONYMS: Record<string, string> = { folder: "directory", "*": "any", "sha-256": "sha256" };
const same = (word: string) => SYNONYMS[word.toLowerCase()] ?? word.toLowerCase();

export function asChoice(value: unknown, field: FieldSpec): string {
  const word = String(value ?? field.fallback);
  return field.choices?.find((choice) => same(choice) === same(word.trim())) ?? word;
}
