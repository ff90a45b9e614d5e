import { readSettings, SettingsError, type SettingName, type Settings } from './settings.js';

/**
 * `readSettings` for an entry point: bad settings end the process with their list, and without a stack.
 * @param check throws SettingsError for settings that do not go together.
 */
export function settingsOrExit(
  env: Readonly<Record<string, string | undefined>>,
  required: readonly SettingName[],
  check?: (settings: Settings) => unknown,
): Settings {
  try {
    const settings = readSettings(env, required);
    check?.(settings);
    return settings;
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    console.error(error.message);
    process.exit(1);
  }
}
