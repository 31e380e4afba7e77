/** Light or dark: as the system has it, unless the person chose. */
import { type Theme, webDarkTheme, webLightTheme } from "@fluentui/react-components";
import { createContext, useContext, useState } from "react";
import { useMedia } from "./media";

/** Whether it is dark, for what is not made of Fluent and stands deep in a page. */
export const DarkContext = createContext(false);
export const useIsDark = () => useContext(DarkContext);

type Choice = "light" | "dark";

const KEY = "whatchanged.theme";

function kept(): Choice | null {
  const found = window.localStorage.getItem(KEY);
  return found === "light" || found === "dark" ? found : null;
}

export function useTheme(): { theme: Theme; dark: boolean; toggle: () => void } {
  const system = useMedia("(prefers-color-scheme: dark)");
  const [choice, choose] = useState(kept);
  const dark = choice ? choice === "dark" : system;
  const toggle = () => {
    const next = dark ? "light" : "dark";
    window.localStorage.setItem(KEY, next);
    choose(next);
  };
  return { theme: dark ? webDarkTheme : webLightTheme, dark, toggle };
}
