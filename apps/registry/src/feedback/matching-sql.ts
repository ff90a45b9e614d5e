/** What a judgement takes over from the row it is matched with. */
const FACTS = ['id', 'started_at', 'endpoint', 'unit', 'split_revision', 'arm', 'chain', 'chain_version'];

/** Facts of a row, as columns that begin with `row_`. */
const factsOf = (source: (fact: string) => string) =>
  FACTS.map((fact) => `${source(fact)} AS row_${fact}`).join(', ');
const ROW = factsOf((fact) => `i.${fact}`);

/** What an event says of the rows it can be matched with. Copies for shadows answered nobody: only their own id names them. */
const isMeant = '(e.endpoint IS NULL OR i.endpoint = e.endpoint)';
const isMeantByName = `${isMeant} AND i.shadow_of IS NULL`;

/** How events name rows, beside the id of an inference. */
type Naming = 'client_request_id' | 'unit';

/** Most judgements are given soon, and few days are few partitions to look into. */
const SOON = "interval '2 days'";

/**
 * No index of the rows has the endpoint beside the unit: each request would pay for it. An event that says the endpoint is
 * looked for among so many rows of the name, so that one about a busy unit of other endpoints does not read all of them.
 */
const ROWS_OF_A_NAME = 1000;

/**
 * The best row for each fresh event that names it by a caller's id or by its unit, through an index of the rows: the last
 * begun before the judgement was given, or else, for clocks differ, the first begun after it. Days are looked into one step
 * after the other, as long as nothing is found.
 */
function lookedUp(column: Naming): string {
  const step = (name: string, bounds: string, order: string) => `LEFT JOIN LATERAL (
      SELECT ${ROW} FROM (
        SELECT * FROM inference i
         WHERE i.workspace_id = e.workspace_id AND i.${column} = e.${column} AND ${bounds}
         ORDER BY i.id ${order} LIMIT CASE WHEN e.endpoint IS NOT NULL THEN ${ROWS_OF_A_NAME} END) i
       WHERE ${isMeantByName} ORDER BY i.id ${order} LIMIT 1) ${name} ON true`;
  const before = 'i.started_at <= e.given_at AND i.id <= catena_last_uuid_at(e.given_at)';
  const after = 'i.started_at > e.given_at AND i.id > catena_last_uuid_at(e.given_at)';
  return `
    SELECT e.id, ${factsOf((fact) => `coalesce(soon.row_${fact}, earlier.row_${fact}, later.row_${fact})`)}
      FROM fresh e
      ${step('soon', `${before} AND i.started_at > e.given_at - ${SOON}`, 'DESC')}
      ${step('earlier', `soon.row_id IS NULL AND ${before} AND i.started_at <= e.given_at - ${SOON}`, 'DESC')}
      ${step('later', `soon.row_id IS NULL AND earlier.row_id IS NULL AND ${after}`, 'ASC')}
     WHERE e.${column} IS NOT NULL`;
}

/** Candidates for the events that arrived in [$1, $2). */
const ROWS_FOR_EVENTS = `
  fresh AS MATERIALIZED (
    SELECT id, workspace_id, inference_id, client_request_id, unit, endpoint, given_at
      FROM feedback WHERE arrived >= $1 AND arrived < $2),
  candidate AS (
    SELECT e.id, ${ROW} FROM fresh e CROSS JOIN LATERAL (
      SELECT * FROM inference i
       WHERE i.id = e.inference_id AND i.started_at = catena_uuid_time(e.inference_id)
         AND i.workspace_id = e.workspace_id AND ${isMeant} OFFSET 0) i
     WHERE e.inference_id IS NOT NULL
    UNION ALL ${lookedUp('client_request_id')}
    UNION ALL ${lookedUp('unit')})`;

/** When the row that an event is matched with began; of one without, never. Indexes have it in these words. */
const MATCHED_AT = "coalesce(e.matched_started_at, 'infinity')";

/** Fresh rows by the name that events call them by, and by endpoint: '' is any. */
const freshBy = (column: Naming) => `
  fresh_by_${column} AS MATERIALIZED (
    SELECT workspace_id, ${column} AS name, coalesce(endpoint, '') AS endpoint, min(started_at) AS first, max(started_at) AS last,
           array_agg(id ORDER BY started_at, id) AS ids, array_agg(started_at ORDER BY started_at, id) AS starts
      FROM fresh WHERE ${column} IS NOT NULL AND shadow_of IS NULL
     GROUP BY GROUPING SETS ((workspace_id, ${column}, endpoint), (workspace_id, ${column})))`;

/**
 * The best fresh row for each event that names it by a caller's id or by its unit. An event is looked at once, however many
 * rows are fresh, and only where one of them can be better than what it has: events without a row or with one begun after
 * they were given, and events given since the first fresh row began. There is an index for either; the others are not read.
 */
function improved(column: Naming): string {
  const from = (condition: string) => `
    SELECT e.id, f.ids[greatest(1, width_bucket(e.given_at, f.starts))] AS row_id,
           f.starts[greatest(1, width_bucket(e.given_at, f.starts))] AS row_started_at
      FROM fresh_by_${column} f
      JOIN feedback e ON e.workspace_id = f.workspace_id AND e.${column} = f.name
                     AND coalesce(e.endpoint, '') = f.endpoint AND ${condition}`;
  return `${from(`${MATCHED_AT} > e.given_at AND ${MATCHED_AT} >= f.first`)}
    UNION ALL ${from('e.matched_started_at <= e.given_at AND e.matched_started_at <= f.last AND e.given_at >= f.first')}`;
}

/** Candidates for all events ever, out of the rows that arrived in [$1, $2). Cheap, however many wait for a row, and however many have one. */
const EVENTS_FOR_ROWS = `
  fresh AS MATERIALIZED (
    SELECT ${FACTS.join(', ')}, workspace_id, client_request_id, shadow_of
      FROM inference WHERE arrived >= $1 AND arrived < $2),
  ${freshBy('client_request_id')},
  ${freshBy('unit')},
  improved AS (${improved('client_request_id')} UNION ALL ${improved('unit')}),
  candidate AS (
    SELECT e.id, ${ROW} FROM fresh i
      JOIN feedback e ON e.workspace_id = i.workspace_id AND e.inference_id = i.id AND ${isMeant}
    UNION ALL
    SELECT e.id, ${ROW} FROM improved e CROSS JOIN LATERAL (
      SELECT * FROM inference i WHERE i.id = e.row_id AND i.started_at = e.row_started_at OFFSET 0) i)`;

/**
 * Matches events with their best candidates, where these are better than what they have. Better is a total order of the
 * rows, so that the order in which events and rows arrive changes nothing. Answers what each was before and is now.
 */
const match = (candidates: string) => `
  WITH ${candidates},
  best AS (
    SELECT DISTINCT ON (c.id) c.*
      FROM candidate c JOIN feedback f ON f.id = c.id
     WHERE c.row_id IS NOT NULL AND (f.matched_inference_id IS NULL OR CASE
             WHEN (c.row_started_at <= f.given_at) <> (f.matched_started_at <= f.given_at) THEN c.row_started_at <= f.given_at
             WHEN c.row_started_at <= f.given_at THEN c.row_id > f.matched_inference_id
             ELSE c.row_id < f.matched_inference_id END)
     ORDER BY c.id, c.row_started_at <= f.given_at DESC, CASE WHEN c.row_started_at <= f.given_at THEN c.row_id END DESC, c.row_id),
  changed AS (
    UPDATE feedback f
       SET matched_inference_id = b.row_id, matched_started_at = b.row_started_at, matched_endpoint = b.row_endpoint,
           matched_unit = b.row_unit, split_revision = b.row_split_revision, arm = b.row_arm, chain = b.row_chain,
           chain_version = b.row_chain_version, latest = NULL
      FROM best b WHERE f.id = b.id
    RETURNING f.id, f.workspace_id, f.subject, f.name)
  SELECT n.id, n.workspace_id AS "workspaceId", n.subject, n.name, o.subject AS "formerSubject",
         o.matched_endpoint AS "formerEndpoint", o.matched_unit AS "formerUnit",
         o.matched_inference_id AS "formerInferenceId", o.matched_started_at AS "formerStartedAt"
    FROM changed n JOIN feedback o ON o.id = n.id`;

/** Parameters: arrivals of events, from (included) to (not). */
export const MATCH_EVENTS = { name: 'feedback-match-events', text: match(ROWS_FOR_EVENTS) };

/** Parameters: arrivals of rows, from (included) to (not). */
export const MATCH_ROWS = { name: 'feedback-match-rows', text: match(EVENTS_FOR_ROWS) };

/** The events that arrived in [$1, $2), with what they are about. */
export const ARRIVED_EVENTS = {
  name: 'feedback-arrived',
  text: `SELECT id, workspace_id AS "workspaceId", subject, name FROM feedback WHERE arrived >= $1 AND arrived < $2`,
};

/** The first event about what is asked, in the order that decides. */
function first(condition = ''): string {
  return `
    SELECT id FROM feedback f
     WHERE f.workspace_id = a.workspace_id AND f.subject = a.subject AND f.name = a.name ${condition}
     ORDER BY f.given_at DESC, f.event_id DESC LIMIT 1`;
}

/**
 * Decides which event of each subject and name counts: the first in the order of the index. Written are only the events that
 * are looked at for the first time, the one that counts, and the one that did, which is the first in that order to
 * have been decided on before: however many events there are about one thing, none of the others is read.
 * Parameters: workspaces, subjects, names; ids of the events looked at. Answers what the events written are matched with.
 */
export const DECIDE_LATEST = {
  name: 'feedback-decide-latest',
  text: `
    WITH asked AS (SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[]) AS asked (workspace_id, subject, name)),
    found AS MATERIALIZED (
      SELECT winner.id AS winner, former.id AS former
        FROM asked a
        CROSS JOIN LATERAL (${first()}) winner
        LEFT JOIN LATERAL (${first('AND latest IS NOT NULL')}) former ON true),
    written AS (
      SELECT winner AS id, true AS latest FROM found
      UNION
      SELECT id, false FROM (SELECT former AS id FROM found UNION SELECT unnest($4::uuid[])) seen
       WHERE id NOT IN (SELECT winner FROM found))
    UPDATE feedback f SET latest = w.latest FROM written w WHERE f.id = w.id AND f.latest IS DISTINCT FROM w.latest
    RETURNING f.workspace_id AS "workspaceId", f.matched_endpoint AS endpoint, f.matched_unit AS unit,
              f.matched_inference_id AS "inferenceId", f.matched_started_at AS "startedAt"`,
};

/** Parameters: workspaces, endpoints, units, inferences, when these began. */
export const NOTE_CHANGES = {
  name: 'feedback-note-changes',
  text: `
    INSERT INTO feedback_change (workspace_id, endpoint, unit, inference_id, started_at)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::timestamptz[])`,
};

/** Parameters: names of the followers of changes. None is forgotten before each of them has a position. */
export const FORGET_CHANGES = {
  name: 'feedback-forget-changes',
  text: `
    DELETE FROM feedback_change WHERE arrived < (
      SELECT CASE WHEN count(f.name) = count(*) THEN min(f.position) END
        FROM unnest($1::text[]) AS asked (name) LEFT JOIN follower f USING (name))`,
};
