import { BridgeError } from '../errors.ts';
import type { LibraryBackend } from '../library.ts';
import { configuredPlace, usualPlaces } from '../places.ts';
import { preflight, preflightAt, type PreflightOptions, type PreflightReport } from '../preflight.ts';

export interface Search {
  /** The first that gave the known answer. */
  readonly usable: PreflightReport | undefined;
  /** The others that were tried before it, and what is wrong with them. */
  readonly rejected: readonly PreflightReport[];
  /** What the user has set is wrong: then nothing else was tried. */
  readonly isMisconfigured: boolean;
}

/**
 * Looks for a reference that works: what is set or installed, what was fetched, then the usual folders. Each is run. What the
 * user has set is not passed over.
 */
export async function findUsable(
  backend: LibraryBackend,
  { env, ...options }: Omit<PreflightOptions, 'requested'>,
): Promise<Search> {
  const rejected: PreflightReport[] = [];
  let place;
  try {
    place = await configuredPlace(backend, env);
  } catch (error) {
    if (!(error instanceof BridgeError)) throw error;
    const report = await preflight(backend, { env, requested: true, ...options });
    return { usable: undefined, rejected: [report], isMisconfigured: true };
  }
  const places = [...(place === undefined ? [] : [place]), ...(await usualPlaces(backend, env))];
  for (const each of places) {
    const report = await preflightAt(each, options);
    if (report.status === 'ok') return { usable: report, rejected, isMisconfigured: false };
    const isSet = each.kind === 'environment' || each.kind === 'config';
    // Most of the usual folders are something else; that is no news.
    if (each.kind !== 'folder' || report.problem?.code !== 'BRIDGE_NOT_FOUND') rejected.push(report);
    if (isSet) return { usable: undefined, rejected, isMisconfigured: true };
  }
  return { usable: undefined, rejected, isMisconfigured: false };
}
