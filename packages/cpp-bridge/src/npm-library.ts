/** The build of llama.cpp whose struct layouts are baked in; package.json pins it. */
export const NPM_PACKAGE = '@node-llama-cpp/linux-x64';
export const NPM_VERSION = '3.22.1';
