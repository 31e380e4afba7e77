/** Questions in the Kusto Query Language: write, run, look, keep, share. */
import {
  Button,
  Menu,
  MenuItem,
  MenuList,
  MenuPopover,
  MenuTrigger,
  makeStyles,
  Spinner,
  Text,
  tokens,
} from "@fluentui/react-components";
import {
  ArrowDownloadRegular,
  DismissRegular,
  LibraryRegular,
  PlayRegular,
  SaveRegular,
  ShareRegular,
  TextIndentIncreaseRegular,
} from "@fluentui/react-icons";
import { useQuery } from "@tanstack/react-query";
import { lazy, type ReactElement, Suspense, useEffect, useRef, useState } from "react";
import { Refused, request } from "../api/client";
import type { Workspace } from "../editor/kusto";
import { download, type FormName, fileOf } from "../files";
import { WINDOWS, write } from "../filter/filter";
import { TimeRange } from "../filter/TimeRange";
import { useFilter } from "../filter/useFilter";
import { go, usePlace } from "../location";
import { whenText } from "../moments";
import { Heading } from "../shell/Heading";
import { useNarrow } from "../shell/media";
import type { PageProps } from "../shell/page";
import { Problem } from "../states/Problem";
import { visible } from "../text";
import { written } from "./address";
import { Beginnings } from "./Beginnings";
import { keep, kept } from "./draft";
import type { EditorHandle } from "./Editor";
import { Elapsed } from "./Elapsed";
import { Given } from "./Given";
import { LinkDialog } from "./LinkDialog";
import { MistakeBar, placeOf, wordsOf } from "./MistakeBar";
import { Results, rowsOf } from "./Results";
import { SaveDialog } from "./SaveDialog";
import { SavedList } from "./SavedList";
import { maySave, type SavedQuery } from "./saved";
import { useAnswer } from "./useAnswer";
import { useCheck } from "./useCheck";

const Editor = lazy(() => import("./Editor"));

const useStyles = makeStyles({
  place: { display: "flex", flexGrow: 1, minHeight: 0 },
  work: { display: "flex", flexDirection: "column", flexGrow: 1, minWidth: 0, minHeight: 0 },
  commands: {
    display: "flex",
    flexWrap: "wrap",
    alignItems: "center",
    gap: tokens.spacingHorizontalS,
    padding: `${tokens.spacingVerticalS} ${tokens.spacingHorizontalM}`,
    backgroundColor: tokens.colorNeutralBackground1,
    borderBottom: `1px solid ${tokens.colorNeutralStroke2}`,
    flexShrink: 0,
  },
  end: { marginLeft: "auto" },
  // Whoever wants a larger one draws it larger.
  editor: {
    height: "clamp(8rem, 28vh, 18rem)",
    minHeight: "6rem",
    resize: "vertical",
    overflow: "hidden",
    flexShrink: 0,
  },
  hint: {
    display: "flex",
    alignItems: "center",
    columnGap: tokens.spacingHorizontalM,
    minHeight: "2rem",
    padding: `0 ${tokens.spacingHorizontalM}`,
    backgroundColor: tokens.colorNeutralBackground1,
    borderTop: `1px solid ${tokens.colorNeutralStroke2}`,
    borderBottom: `1px solid ${tokens.colorNeutralStroke2}`,
    flexShrink: 0,
  },
  mistake: { color: tokens.colorStatusDangerForeground1, justifyContent: "flex-start", textAlign: "left", minWidth: 0 },
  clip: { overflow: "hidden", textOverflow: "ellipsis", whiteSpace: "nowrap", minWidth: 0 },
  keys: { color: tokens.colorNeutralForeground2, marginLeft: "auto", whiteSpace: "nowrap" },
  said: { padding: tokens.spacingHorizontalM },
});

export default function Query({ session, dark }: PageProps) {
  const styles = useStyles();
  const narrow = useNarrow();
  const { path, query } = usePlace();
  const { filter, set } = useFilter();
  const asked = useAnswer();
  const [text, setText] = useState("");
  const [given, setGiven] = useState(asked.given);
  const [opened, setOpened] = useState<SavedQuery | null>(null);
  const [listed, setListed] = useState(false);
  const [saving, setSaving] = useState(false);
  const [link, setLink] = useState("");
  const editor = useRef<EditorHandle>(null);
  const { mistake, declared } = useCheck(text);
  const workspace = useQuery({
    queryKey: ["workspace"],
    queryFn: ({ signal }) => request<Workspace>("GET", "/api/v1/workspace", { signal }),
    staleTime: Number.POSITIVE_INFINITY,
  });

  const address = asked.address.data;
  const givenText = JSON.stringify(asked.given);
  useEffect(() => {
    if (address === undefined) return;
    setText(kept(session.name, address) ?? address);
    setGiven(JSON.parse(givenText) as Record<string, string>);
  }, [address, givenText, session.name]);

  const change = (next: string) => {
    setText(next);
    keep({ by: session.name, over: asked.text, text: next });
  };
  const open = (saved: SavedQuery) => {
    change(saved.query.trimEnd());
    setOpened(saved);
    setGiven({});
    if (narrow) setListed(false);
    editor.current?.focus();
  };
  /** What is said of the parameters; of one that may be left out nothing, if nothing stands there. */
  const said = () =>
    Object.fromEntries(
      declared
        .map(
          ({ name, type, default: usual }) => [name, given[name] ?? "", type === "string" && usual === null] as const,
        )
        .filter(([, value, mayBeEmpty]) => value !== "" || mayBeEmpty)
        .map(([name, value]) => [name, value]),
    );
  const run = async () => {
    if (!text.trim()) return;
    keep({ by: session.name, over: text, text });
    const next = await written(text, said(), query);
    if (next.toString() === query.toString()) asked.again();
    else go(path, next);
  };
  const share = async () => {
    const there = await written(text, said(), write(filter, new URLSearchParams()));
    setLink(`${window.location.origin}${path}?${there}`);
  };

  const { result } = asked;
  const refused = result.error instanceof Refused ? result.error.mistake : undefined;
  const running = result.isFetching;
  // A mistake of the query as it was run is no longer where it was, once the text is another.
  const isAsked = asked.text === text;
  const marked = mistake ?? (isAsked ? (refused ?? null) : null);
  const answer = result.data;

  const save = (form: FormName) => {
    if (!answer) return;
    const names = answer.columns.map((column) => column.name);
    download(`query-${new Date().toISOString().slice(0, 10)}.${form}`, fileOf(rowsOf(answer), names, form));
  };
  const spanned = filter.from || filter.to;
  const time = spanned
    ? [filter.from && `from ${whenText(filter.from)}`, filter.to && `to ${whenText(filter.to)}`]
        .filter(Boolean)
        .join(" ")
    : filter.window === "all"
      ? ""
      : WINDOWS[filter.window].toLowerCase();

  return (
    <>
      <Heading>Query</Heading>
      <div className={styles.place}>
        <div className={styles.work}>
          <div className={styles.commands}>
            {running ? (
              <Button icon={<DismissRegular />} onClick={asked.cancel}>
                Cancel
              </Button>
            ) : (
              <Button appearance="primary" icon={<PlayRegular />} disabled={!text.trim()} onClick={() => void run()}>
                Run
              </Button>
            )}
            <TimeRange all="Set in query" />
            {maySave(session) && (
              <Command icon={<SaveRegular />} label="Save" disabled={!text.trim()} act={() => setSaving(true)} />
            )}
            <Command icon={<ShareRegular />} label="Share" disabled={!text.trim()} act={() => void share()} />
            <Menu>
              <MenuTrigger disableButtonEnhancement>
                <Button
                  appearance="subtle"
                  icon={<ArrowDownloadRegular />}
                  disabled={!answer?.rows.length}
                  aria-label="Export"
                >
                  {narrow ? null : "Export"}
                </Button>
              </MenuTrigger>
              <MenuPopover>
                <MenuList>
                  <MenuItem onClick={() => save("csv")}>CSV</MenuItem>
                  <MenuItem onClick={() => save("json")}>JSON</MenuItem>
                </MenuList>
              </MenuPopover>
            </Menu>
            <Command
              icon={<TextIndentIncreaseRegular />}
              label="Format"
              disabled={!text.trim()}
              act={() => editor.current?.format()}
            />
            <div className={styles.end}>
              <Command icon={<LibraryRegular />} label="Queries" act={() => setListed(!listed)} />
            </div>
          </div>
          <div className={styles.editor}>
            <Suspense fallback={<Spinner className={styles.said} label="Loading the editor" />}>
              <Editor
                handle={editor}
                text={text}
                dark={dark}
                workspace={workspace.data}
                mistake={marked}
                change={change}
                run={() => void run()}
              />
            </Suspense>
          </div>
          <div className={styles.hint}>
            {mistake && !(refused && isAsked && !running) ? (
              <Button
                appearance="transparent"
                size="small"
                className={styles.mistake}
                title={wordsOf(mistake)}
                onClick={() => editor.current?.showPlace(mistake)}
              >
                <span className={styles.clip}>
                  {placeOf(mistake)}: {wordsOf(mistake)}
                </span>
              </Button>
            ) : (
              opened && (
                <Text size={200} className={styles.clip}>
                  {visible(opened.name)}
                </Text>
              )
            )}
            {!narrow && (
              <Text size={200} className={styles.keys}>
                Shift+Enter runs · Ctrl+Space completes · Ctrl+M lets Tab leave the editor
              </Text>
            )}
          </div>
          <Given
            declared={declared}
            given={given}
            give={(name, value) => setGiven({ ...given, [name]: value })}
            run={() => void run()}
          />
          {asked.address.error && <Problem error={asked.address.error} />}
          {workspace.error && <Problem error={workspace.error} again={() => void workspace.refetch()} />}
          {running && <Elapsed key={asked.name} />}
          {!running && refused && (
            <MistakeBar mistake={refused} show={isAsked ? () => editor.current?.showPlace(refused) : undefined} />
          )}
          {!running && result.error && !refused && <Problem error={result.error} again={asked.again} />}
          {!running && asked.isCancelled && (
            <Text className={styles.said} role="status">
              Cancelled. The server was told to stop.
            </Text>
          )}
          {answer && !running && !result.error && (
            <Results
              result={answer}
              dark={dark}
              time={time}
              showAll={() => set({ ...filter, window: "all", from: "", to: "" })}
            />
          )}
          {address === "" && <Beginnings open={open} all={() => setListed(true)} />}
        </div>
        {listed && <SavedList open={open} mayDelete={maySave(session)} close={() => setListed(false)} />}
      </div>
      {saving && (
        <SaveDialog
          query={text}
          opened={opened}
          saved={(saved) => {
            setOpened(saved);
            setSaving(false);
          }}
          close={() => setSaving(false)}
        />
      )}
      {link && <LinkDialog link={link} close={() => setLink("")} />}
    </>
  );
}

interface CommandProps {
  icon: ReactElement;
  label: string;
  disabled?: boolean;
  act: () => void;
}

/** A command; where there is little room its picture has to do. */
function Command({ icon, label, disabled = false, act }: CommandProps) {
  const narrow = useNarrow();
  return (
    <Button appearance="subtle" icon={icon} aria-label={label} disabled={disabled} onClick={act}>
      {narrow ? null : label}
    </Button>
  );
}
