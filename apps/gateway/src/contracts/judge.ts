import { TOO_LARGE, type ContractCheck } from '#libs/core/contract/compile-contract.js';
import type { RungResult } from '#libs/core/contract/ladder.js';
import { parseJson, repairJson } from '#libs/core/contract/repair.js';
import { Allowance } from '#libs/core/contract/work.js';
import type { Problem } from '#libs/core/content/problems.js';
import { isFields, type Fields } from '../providers/canonical.js';

/** Longest text that is held against a contract, in characters: some 250 000 tokens. */
const MAX_ANSWER = 1024 * 1024;

/** What a contract says of an answer. */
export interface Judgement {
  readonly result: Exclude<RungResult, 'failed'>;
  /** What is wrong with the first choice that is not as it should be. */
  readonly problems: readonly Problem[];
  /** Its text. */
  readonly given: string;
  /** All choices, where some had to be repaired. */
  readonly repaired?: readonly Fields[];
}

/** Of one choice. */
type Verdict = Omit<Judgement, 'repaired'> & { readonly repairedText?: string };

const NO_PROBLEMS: readonly Problem[] = [];
const RESULTS_BY_WEIGHT = ['invalid', 'truncated', 'valid', 'refused', 'called_tools'] as const;

/**
 * Holds the choices of a chat completion against a contract: all of them must satisfy it, but for those that call
 * tools, and those that the model or a filter of its server refuses to give.
 */
export function judge(choices: readonly Fields[], check: ContractCheck, mayRepair: boolean): Judgement {
  const allowance = new Allowance();
  const verdicts = choices.map((choice) => judgeChoice(choice, check, mayRepair, allowance));
  const result = RESULTS_BY_WEIGHT.find((one) => verdicts.some((verdict) => verdict.result === one));
  // An answer without a choice is none.
  const { problems, given } = verdicts.find((verdict) => verdict.result === result)!;
  if (result !== 'valid' || verdicts.every(({ repairedText }) => repairedText === undefined))
    return { result: result!, problems, given };
  const repaired = choices.map((choice, index) => {
    const content = verdicts[index]!.repairedText;
    return content === undefined ? choice : { ...choice, message: { ...messageOf(choice), content } };
  });
  return {
    result,
    problems: verdicts.find((one) => one.repairedText !== undefined)!.problems,
    given,
    repaired,
  };
}

function judgeChoice(
  choice: Fields,
  check: ContractCheck,
  mayRepair: boolean,
  allowance: Allowance,
): Verdict {
  const message = messageOf(choice);
  const calls = message['tool_calls'];
  if ((Array.isArray(calls) && calls.some(isFields)) || isFields(message['function_call']))
    return { result: 'called_tools', problems: NO_PROBLEMS, given: '' };
  const finish = choice['finish_reason'];
  if ((typeof message['refusal'] === 'string' && message['refusal'] !== '') || finish === 'content_filter')
    return { result: 'refused', problems: NO_PROBLEMS, given: '' };
  const content = message['content'];
  const given = typeof content === 'string' ? content : '';
  const problems = problemsOf(given, check, allowance);
  if (problems.length === 0) return { result: 'valid', problems, given };
  // Mended, a text that was cut would be valid and not what the model was about to say.
  if (finish === 'length') return { result: 'truncated', problems, given };
  const repairedText =
    mayRepair && problems !== TOO_LARGE && given !== '' ? repairedOf(given, check, allowance) : undefined;
  if (repairedText === undefined) return { result: 'invalid', problems, given };
  return { result: 'valid', problems, given, repairedText };
}

function problemsOf(text: string, check: ContractCheck, allowance: Allowance): readonly Problem[] {
  if (text === '') return [{ path: '', message: 'is empty' }];
  if (text.length > MAX_ANSWER) return TOO_LARGE;
  const parsed = parseJson(text);
  return parsed
    ? check(parsed.value, allowance)
    : [{ path: '', message: 'is not JSON, or nested too deeply' }];
}

function repairedOf(text: string, check: ContractCheck, allowance: Allowance): string | undefined {
  let isTooLarge = false;
  const accepts = (value: unknown) => {
    // Each part of the text would take as long again.
    if (isTooLarge) return false;
    const problems = check(value, allowance);
    isTooLarge = problems === TOO_LARGE;
    return problems.length === 0;
  };
  return repairJson(text, accepts, allowance)?.text;
}

function messageOf(choice: Fields): Fields {
  return isFields(choice['message']) ? choice['message'] : {};
}
