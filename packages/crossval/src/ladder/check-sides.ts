import type { SideIdentity } from '../side.ts';
import type { LadderFailure } from './report.ts';
import type { LadderOptions } from './run-ladder.ts';

/** Rung preflight: whether both sides say who they are, compute one model, and there is something to compare. */
export function checkSides({
  ours,
  reference,
  cases,
  sameModel = true,
}: Pick<LadderOptions, 'ours' | 'reference' | 'cases' | 'sameModel'>): LadderFailure[] {
  const failures: LadderFailure[] = [];
  const fail = (
    code: LadderFailure['code'],
    message: string,
    details: LadderFailure['details'] = {},
    caseId: string | null = null,
  ) => failures.push({ rung: 'preflight', code, case: caseId, message, details });

  for (const [whose, identity] of [
    ['Our side', ours.identity],
    ['The reference', reference.identity],
  ] as const) {
    const lacks = missingIdentity(identity);
    if (lacks !== undefined) fail('IDENTITY_MISSING', `${whose} does not say its ${lacks}.`, { side: whose, lacks });
  }
  if (failures.length === 0 && sameModel && ours.identity.model.sha256 !== reference.identity.model.sha256) {
    const [mine, theirs] = [ours.identity.model, reference.identity.model];
    fail(
      'MODEL_DIFFERS',
      `The reference computed ${theirs.file} (SHA-256 ${theirs.sha256}), ours is ${mine.file} (${mine.sha256}).`,
      { reference: { ...theirs }, ours: { ...mine } },
    );
  }
  if (cases.length === 0) fail('NO_CASES', 'There are no cases to compare. Give at least one.');
  const seen = new Set<string>();
  for (const { id, ids, greedyCount } of cases) {
    if (ids.length === 0) fail('BAD_CASE', `Case ${id} has no ids.`, {}, id);
    if (!(greedyCount > 0)) fail('BAD_CASE', `Case ${id} has no greedy ids.`, {}, id);
    if (seen.has(id)) fail('BAD_CASE', `Case ${id} is there twice.`, {}, id);
    seen.add(id);
  }
  return failures;
}

function missingIdentity({ name, version, model }: SideIdentity): string | undefined {
  if (!name) return 'name';
  if (!version) return 'version';
  if (!model?.file) return 'model file';
  return /^[0-9a-f]{64}$/.test(model.sha256) ? undefined : 'model SHA-256 in lower-case hex';
}
