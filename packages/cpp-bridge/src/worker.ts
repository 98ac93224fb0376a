import koffi from 'koffi';
import { endWithParent } from './end-with-parent.ts';
import { BridgeError } from './errors.ts';
import { AnswerWriter, parseRequest, type Reply, type Request } from './protocol.ts';
import { WorkerSession } from './worker-session.ts';

/*
 * The child process: one shared library, one model, requests one after the other. What goes wrong in the library ends
 * this process only.
 */

/*
 * koffi runs a library's functions on a stack of its own, of 2 MiB unless told; this is the most that it takes. On one thread
 * bitnet.cpp has an array of rows x tokens f32 there, 14.2 MB for the 6912 rows of the 2B4T model and 512 tokens.
 */
koffi.config({ sync_stack_size: 16 * 2 ** 20 });

const session = new WorkerSession();

function send(reply: Reply): Promise<void> {
  return new Promise((resolve, reject) => {
    process.send!(reply, undefined, undefined, (error) => (error === null ? resolve() : reject(error)));
  });
}

async function answer(request: Request): Promise<void> {
  try {
    await session.answer(request, new AnswerWriter(request.kind, request.id, send));
  } catch (error) {
    const code = error instanceof BridgeError ? error.code : 'BRIDGE_REFUSED';
    const message = error instanceof Error ? error.message : String(error);
    await send({ type: 'failed', id: request.id, code, message });
  }
}

process.on('message', (message) => void answer(parseRequest(message)));
process.on('disconnect', () => process.exit());
endWithParent();
