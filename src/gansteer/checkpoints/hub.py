"""Models on the Hugging Face hub: downloaded once, with progress, and verified by their hash each time; and put there."""

import hashlib
import os
import re
from pathlib import Path

from gansteer.errors import UserError

HUB_ID = re.compile(r"(?:hf:)?(?P<repo>[\w.-]+/[\w.-]+)(?:/(?P<file>[\w./-]+))?")
DEFAULT_FILE = "model.safetensors"
LOG_IN = "log in with `hf auth login`, with a token that may write"


def fetch(name: str, *, endpoint: str | None = None, cache: Path | None = None) -> Path:
    """The local file of `[hf:]owner/name[/file]`, downloaded unless it is in the cache.

    Raises UserError when it does not exist, cannot be reached or isn't what the hub says it is.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, HFValidationError, RepositoryNotFoundError

    match = HUB_ID.fullmatch(name)
    if match is None:
        raise UserError(f"{name!r} is no hub id: write hf:owner/name or hf:owner/name/file")
    repo, file = match["repo"], match["file"] or DEFAULT_FILE
    try:
        stated = get_hf_file_metadata(hf_hub_url(repo, file, endpoint=endpoint)).etag
    except HFValidationError as error:
        raise UserError(f"{name!r} is no hub id: write hf:owner/name or hf:owner/name/file") from error
    except GatedRepoError as error:
        raise UserError(f"{repo} asks for its terms to be accepted on the hub before it can be downloaded") from error
    except RepositoryNotFoundError as error:
        raise UserError(f"the hub has no model {repo}: check the spelling, or log in if it is private") from error
    except EntryNotFoundError as error:
        raise UserError(f"{repo} has no file {file}: name one, as hf:{repo}/FILE") from error
    except Exception:  # whatever the HTTP library beneath raises: the hub cannot be reached
        return from_cache(name, repo, file, cache)
    try:
        path = Path(hf_hub_download(repo, file, endpoint=endpoint, cache_dir=cache))
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{repo}/{file} could not be downloaded: {reason}") from error
    verify(path, name, str(stated))
    return path


def from_cache(name: str, repo: str, file: str, cache: Path | None) -> Path:
    """The file as it was downloaded before; the cache keeps it under its hash, where the file system has links."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        path = Path(hf_hub_download(repo, file, cache_dir=cache, local_files_only=True))
    except LocalEntryNotFoundError as error:
        raise UserError(f"{name} is not in the cache and the hub cannot be reached: check the connection") from error
    if path.is_symlink():
        verify(path, name, path.resolve().name)
    return path


def verify(path: Path, name: str, stated: str) -> None:
    """Compare the file with its hash: SHA-256 for large files, git's SHA-1 of the blob for small ones.

    A file that differs is removed. Raises UserError.
    """
    blob = path.resolve()
    if re.fullmatch("[0-9a-f]{64}", stated):
        digest = hashlib.sha256()
    elif re.fullmatch("[0-9a-f]{40}", stated):
        digest = hashlib.sha1(b"blob %d\0" % blob.stat().st_size)
    else:
        raise UserError(f"{name} cannot be verified: the hub states no hash for it")
    with blob.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    if digest.hexdigest() != stated:
        path.unlink()
        blob.unlink(missing_ok=True)
        raise UserError(f"{name} is not what the hub says it is (its hash differs); it was removed, so try again")


def push(folder: Path, repo: str, private: bool = False, endpoint: str | None = None) -> str:
    """Put the files of a folder into the hub's model `repo`, in one commit; it is made if it is not there.

    Returns its address. Raises UserError where the hub refuses it or cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    api = HfApi(endpoint=endpoint or os.environ.get("HF_ENDPOINT"), library_name="gansteer")
    try:
        address = str(api.create_repo(repo, private=private, exist_ok=True))
        api.upload_folder(folder_path=folder, repo_id=repo, commit_message="Model, card, licence and checksums")
    except HFValidationError as error:
        raise UserError(f"hf:{repo} is no hub id: write hf:owner/name") from error
    except LocalTokenNotFoundError as error:
        raise UserError(LOG_IN) from error
    except HfHubHTTPError as error:
        if error.response.status_code in (401, 403):
            raise UserError(f"the hub lets you write nothing to {repo}; {LOG_IN}") from error
        raise UserError(f"the hub refuses {repo}: {' '.join((error.server_message or str(error)).split())}") from error
    except Exception as error:  # whatever the HTTP library beneath raises
        raise UserError(f"the hub cannot be reached ({type(error).__name__}): check the connection") from error
    return address
