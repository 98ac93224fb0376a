/** The shells that can complete command lines of bittern. */
export const COMPLETION_SHELLS = ['bash', 'zsh', 'fish'] as const;
export type CompletionShell = (typeof COMPLETION_SHELLS)[number];

/**
 * What a shell loads. Each asks the program itself, so that what it offers is what this version has:
 * `bittern complete -- WORDS` prints `files`, `folders` or `none` on the first line, and then a candidate a line, behind a
 * tab what it is. The program is called by the name that was typed.
 */
export const COMPLETION_SCRIPTS: Readonly<Record<CompletionShell, string>> = {
  // Also for bash 3.2, which macOS has. Bash splits words at =, and wants back only what stands behind the last one.
  bash: `_bittern() {
  local word=\${COMP_WORDS[COMP_CWORD]} part after= typed= paths= candidate
  local -a words=()
  for part in "\${COMP_WORDS[@]:1:COMP_CWORD}"; do
    if [[ $part == = || -n $after ]]; then
      typed=$typed$part
      words[\${#words[@]} - 1]=$typed
    else
      typed=$part
      words+=("$part")
    fi
    [[ $part == = ]] && after=yes || after=
  done
  [[ $word == = ]] && word=
  COMPREPLY=()
  while IFS= read -r candidate; do
    if [[ -z $paths ]]; then
      paths=$candidate
    else
      candidate=\${candidate%%$'\\t'*}
      COMPREPLY+=("\${candidate:\${#typed} - \${#word}}")
    fi
  done < <("\${COMP_WORDS[0]}" complete -- "\${words[@]}" 2>/dev/null)
  case $paths in
    files) compopt -o filenames 2>/dev/null; while IFS= read -r candidate; do COMPREPLY+=("$candidate"); done < <(compgen -f -- "$word") ;;
    folders) compopt -o filenames 2>/dev/null; while IFS= read -r candidate; do COMPREPLY+=("$candidate"); done < <(compgen -d -- "$word") ;;
  esac
}
complete -F _bittern bittern
`,
  zsh: `#compdef bittern
_bittern() {
  local -a lines candidates
  lines=("\${(@f)$("\${words[1]}" complete -- "\${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
  local line paths=$lines[1]
  for line in "\${(@)lines[2,-1]}"; do
    candidates+=("\${\${line%%$'\\t'*}//:/\\\\:}\${\${line#*$'\\t'}:+:\${line#*$'\\t'}}")
  done
  (( $#candidates )) && _describe bittern candidates
  case $paths in
    files) _files ;;
    folders) _files -/ ;;
  esac
}
if [[ $funcstack[1] == _bittern ]]; then _bittern "$@"; else compdef _bittern bittern; fi
`,
  fish: `function __bittern_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l lines ($words[1] complete -- $words[2..-1] 2>/dev/null)
    switch "$lines[1]"
        case files
            __fish_complete_path (commandline -ct)
        case folders
            __fish_complete_directories (commandline -ct)
    end
    printf '%s\\n' $lines[2..-1]
end
complete -c bittern -f -a '(__bittern_complete)'
`,
};
