import { readSettings, SettingsError, type SettingName, type Settings } from './settings.js';

/** `readSettings` for an entry point: bad settings end the process with their list, and without a stack. */
export function settingsOrExit(
  env: Readonly<Record<string, string | undefined>>,
  required: readonly SettingName[],
): Settings {
  try {
    return readSettings(env, required);
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    console.error(error.message);
    process.exit(1);
  }
}
