//! The layout behind a table that is on a disk: what was decided when the disk was laid down.

use uuid::Uuid;

use crate::{
    check::LayoutError,
    layout::{Layout, Table},
    read::{ReadPartition, ReadTable},
    role::{Filesystem, Role},
    table::TableError,
    units::Bytes,
    wanted::{Extra, Wanted},
};

/// Why a table is none that this crate made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotOurs {
    /// A partition of the system is missing.
    #[error("there is no partition {0}")]
    Missing(&'static str),
    /// No layout has these sizes.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The layout with these sizes has another table.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// The partitions of an MBR, which has no names, in the order of their numbers.
const ON_MBR: [Role; 4] = [Role::Oem, Role::Recovery, Role::State, Role::Persistent];

/// The partitions of a GPT that are not somebody's own.
const ON_GPT: [Role; 6] = [
    Role::BiosBoot,
    Role::Esp,
    Role::Oem,
    Role::Recovery,
    Role::State,
    Role::Persistent,
];

impl ReadTable {
    /// The layout of which this is the table; any other table is refused.
    ///
    /// The same rules that made the layout are asked for one with the sizes and ids that were read. If the answer is the
    /// table that was read, every partition is known by its number, name, type and place. Labels and file systems of
    /// extra partitions are not in a table: they come back without.
    ///
    /// # Errors
    /// [`NotOurs`], with the first difference.
    pub fn layout(&self) -> Result<Layout, NotOurs> {
        let wanted = match self.table {
            Table::Gpt => self.wanted_on_gpt()?,
            Table::Mbr => self.wanted_on_mbr()?,
        };
        let mut ids = self.ids().into_iter();
        let layout = wanted.layout(self.geometry, || ids.next().unwrap_or_default())?;
        self.verify(&layout)?;
        Ok(layout)
    }

    /// The `PARTUUID` by which Linux and GRUB know a partition, as [`Layout::part_uuid`] gives it.
    pub fn part_uuid(&self, part: &ReadPartition) -> String {
        match self.table {
            Table::Gpt => part.guid.to_string(),
            Table::Mbr => format!("{:08x}-{:02x}", self.signature, part.number),
        }
    }

    /// The ids that a layout is asked for, of the disk first. An MBR has one number, and the others only have to differ.
    fn ids(&self) -> Vec<Uuid> {
        match self.table {
            Table::Gpt => {
                let parts = self.partitions.iter().map(|part| part.guid);
                self.disk_guid.into_iter().chain(parts).collect()
            }
            Table::Mbr => {
                let disk = Uuid::from_fields(self.signature, 1, 0, &[0; 8]);
                let parts = self.partitions.iter();
                let parts = parts.map(|part| Uuid::from_u128(part.number.into()));
                std::iter::once(disk).chain(parts).collect()
            }
        }
    }

    fn wanted_on_mbr(&self) -> Result<Wanted, NotOurs> {
        let size = |role: Role| {
            let at = ON_MBR.iter().position(|each| *each == role);
            let found = at.and_then(|at| self.partitions.get(at));
            let name = role.partition_name().unwrap_or_default();
            found.map(|part| part.size).ok_or(NotOurs::Missing(name))
        };
        // With a fifth partition the number of partitions differs, which `verify` says.
        Ok(Wanted {
            table: Table::Mbr,
            oem: Some(size(Role::Oem)?),
            recovery: Some(size(Role::Recovery)?),
            state: Some(size(Role::State)?),
            // It must be there, and takes the rest.
            persistent: size(Role::Persistent).map(|_| None)?,
            ..Wanted::new(Bytes::ZERO, Bytes::ZERO)
        })
    }

    fn wanted_on_gpt(&self) -> Result<Wanted, NotOurs> {
        let named = |role: Role| {
            let name = role.partition_name().unwrap_or_default();
            let found = self.partitions.iter().find(|part| part.name == name);
            found.ok_or(NotOurs::Missing(name))
        };
        let last = self.partitions.last().map(|part| part.number);
        let takes_rest = |part: &ReadPartition| Some(part.number) == last;
        let persistent = named(Role::Persistent)?;
        let extra = self.partitions.iter().filter(|part| {
            let name = Some(part.name.as_str());
            ON_GPT.iter().all(|role| role.partition_name() != name)
        });
        Ok(Wanted {
            efi: Some(named(Role::Esp)?.size),
            oem: Some(named(Role::Oem)?.size),
            recovery: Some(named(Role::Recovery)?.size),
            state: Some(named(Role::State)?.size),
            persistent: (!takes_rest(persistent)).then_some(persistent.size),
            extra: extra
                .map(|part| Extra {
                    name: part.name.clone(),
                    size: if takes_rest(part) {
                        Bytes::ZERO
                    } else {
                        part.size
                    },
                    filesystem: Filesystem::Raw,
                    label: None,
                })
                .collect(),
            ..Wanted::new(Bytes::ZERO, Bytes::ZERO)
        })
    }
}
