"""Submissions: opening what is proposed to a repository of results, and sending records to one."""

from idbench.submission.opening import open_proposal

__all__ = ["open_proposal"]
