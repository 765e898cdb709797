# shellcheck shell=bash
# Completion for vae and the vae-* programs in bash: options and their words come from --help, names
# of models from their folders (vae(7), FILES); where codes are read, *.lat files are offered.
#
# bash-completion loads this file by a program's name. Without it: . completion.bash

# Prints the names of the models that program $1 finds, with and without their versions.
_vae_models() {
	local prefix folder model
	local -a folders
	prefix=$(dirname -- "$(dirname -- "$(readlink -f -- "$(type -P -- "$1")")")")
	IFS=: read -ra folders <<<"$VAE_MODEL_PATH"
	folders+=("${XDG_DATA_HOME:-$HOME/.local/share}/vae-tools/models" \
		"$prefix"/{models,share/vae-tools/models})
	for folder in "${folders[@]}"; do
		for model in "$folder"/*.safetensors; do
			model=${model##*/} model=${model%.safetensors}
			[[ $model == *[!A-Za-z0-9._+-]* ]] || printf '%s\n' "$model" "${model%-[0-9]*}"
		done
	done
}

# Called as bash calls such functions: program, word, the word before it.
_vae_tools() {
	local word=$2 option=$3 argument='' words='' rows pattern
	[[ ${COMP_WORDS[COMP_CWORD]} == = ]] && word=
	[[ $option == = ]] && option=${COMP_WORDS[COMP_CWORD - 2]}
	rows=$("$1" --help 2>/dev/null | sed -nE '/^ +-/{s/^ +//;s/  .*//;p}') # "-q, --quality Q"
	pattern="(^|[[:space:]])$option(, --[a-z0-9-]+)? ([^[:space:],]+)"
	[[ $option =~ ^--?[A-Za-z0-9-]+$ && $rows =~ $pattern ]] && argument=${BASH_REMATCH[3]}
	COMPREPLY=()
	case $argument in
	'')
		pattern=' (-[a-zA-Z]*[dtl][a-zA-Z]*|--(decode|decompress|test|list)) '
		if [[ $word == -* ]]; then
			words=$(grep -oE '(^|, )-[^ ,]+' <<<"$rows" | tr -d ', ')
		elif [[ ${1##*/} == vae-dec || " ${COMP_WORDS[*]} " =~ $pattern ]]; then
			compopt -o filenames 2>/dev/null
			mapfile -t COMPREPLY < <(compgen -f -X '!*.lat' -- "$word"; compgen -d -- "$word")
			return
		fi
		;;
	*NAME*) words=$(_vae_models "$1" | sort -u) ;;
	*FILE*) ;; # as without a completion
	[[:lower:][:digit:]]*'|'*) words=${argument//|/ } ;;
	*) compopt +o default 2>/dev/null ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -o default -F _vae_tools vae vae-{enc,quant,dec,train,stat}
