/** The model: GGUF, I2_S, with its tokenizer inside. */
export const modelUrl: URL = new URL('../model/storyteller.i2_s.gguf', import.meta.url);

/** The same tokenizer in Hugging Face's form; nothing of Bittern needs it. */
export const tokenizerUrl: URL = new URL('../model/tokenizer.json', import.meta.url);

/** The folder with what bitnet.cpp computed for the model: `recording.json` and `values.safetensors`. */
export const recordingUrl: URL = new URL('../recording/', import.meta.url);

/** SHA-256 and size of every file of model and recording. */
export const manifestUrl: URL = new URL('../MANIFEST.json', import.meta.url);
