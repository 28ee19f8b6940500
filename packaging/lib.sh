# What the commands of this folder share. Sourced, never run.

# say WORDS: what happens next, apart from what programs print.
say() { printf '\n== %s\n' "$*" >&2; }

# source_of FOLDER: the files of the commit, with its id in them (relayd/commit.txt), as they are in an archive.
source_of() {
  mkdir -p "$1"
  git archive --format=tar HEAD | tar -x -C "$1"
  git diff --quiet HEAD -- || echo "note: changes that are not committed are left out" >&2
}

# commit_time: when the commit was made, in seconds: the time that all built files get.
commit_time() { git log -1 --format=%ct; }

# build_tools FOLDER: a Python with what builds relayd. That is the active environment if it has it, and else
# a new one in FOLDER, with the versions and hashes of requirements.lock. Prints its path.
build_tools() {
  local wanted
  wanted=$(sed -n 's/^hatchling==\([^ ]*\).*/\1/p' requirements.lock)
  if [ -n "${VIRTUAL_ENV:-}" ] && "$VIRTUAL_ENV/bin/hatchling" --version 2>/dev/null | grep -qw "$wanted"; then
    echo "$VIRTUAL_ENV/bin/python"
  else
    python3 -m venv "$1" && "$1/bin/pip" install --quiet --require-hashes -r requirements.lock
    echo "$1/bin/python"
  fi
}

# environment SOURCE TOOLS FOLDER: a virtual environment with what packaging/requirements.lock has, by their
# hashes, and relayd. No pip is in it, and nothing that builds.
environment() {
  local python
  python=$(cd "$1" && build_tools "$2")
  (cd "$1" && "$python" -m hatchling build -t wheel -d "$3.wheel" >/dev/null 2>&1)
  python3 -m venv --without-pip "$3"
  local install=("$python" -m pip --python "$3/bin/python" install --quiet --no-compile --no-deps)
  "${install[@]}" --only-binary :all: --require-hashes -r "$1/packaging/requirements.lock"
  "${install[@]}" --no-index "$3.wheel"/*.whl
  rm -r "$3.wheel"
}
