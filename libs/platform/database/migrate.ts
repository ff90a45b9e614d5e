import { readSettings } from '../config/settings.js';
import { migrate } from './data-source.js';

const settings = readSettings(process.env, ['DATABASE_URL']);
const ran = await migrate(settings.DATABASE_URL!);
console.log(ran.length > 0 ? `Ran: ${ran.join(', ')}` : 'The schema is up to date.');
