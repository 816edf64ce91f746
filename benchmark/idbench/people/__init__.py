"""One person at a time: what a model reveals about somebody, against people who are certainly not in its data."""

from idbench.people.auditing import AttackFinding, PersonAudit, PersonFinding, Wish, audit_people
from idbench.people.inputs import Audited, people_of_table

__all__ = ["AttackFinding", "Audited", "PersonAudit", "PersonFinding", "Wish", "audit_people", "people_of_table"]
