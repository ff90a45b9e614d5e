import { settingsOrExit } from '../config/settings-or-exit.js';
import { migrate } from './data-source.js';

const settings = settingsOrExit(process.env, ['DATABASE_URL']);
const ran = await migrate(settings.DATABASE_URL!);
console.log(ran.length > 0 ? `Ran: ${ran.join(', ')}` : 'The schema is up to date.');
