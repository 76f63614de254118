//! Whether new content has room in partitions that stay as they are.

use crate::{
    layout::Layout,
    role::Role,
    units::Bytes,
    wanted::{RECOVERY_MORE, RECOVERY_PAYLOADS, STATE_IMAGES, STATE_MORE, formula},
};

/// What an ext4 takes of its partition for itself: inodes (256 bytes for every 16 KiB), bitmaps, and up to here also the
/// largest journal that mke2fs makes below 32 GiB (128 MiB).
const EXT4_SHARE: u64 = 50;
const EXT4_MORE: Bytes = Bytes::mib(160);

/// A partition that is too small.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("partition {name} has {have}, {need} are needed")]
pub struct NoRoom {
    /// Its name.
    pub name: String,
    /// Its size, in bytes.
    pub have: Bytes,
    /// The size it should have, in bytes.
    pub need: Bytes,
}

impl Layout {
    /// Checks that slot images of `image` bytes and a recovery medium of `payload` bytes have room: in `state` three
    /// images (upgrades write the third), in `recovery` the medium once, since nothing of the old one stays.
    ///
    /// # Errors
    /// The first partition that is too small.
    pub fn room_for(&self, image: Bytes, payload: Bytes) -> Result<(), NoRoom> {
        let state = [
            image.checked_mul(STATE_IMAGES).and_then(with_ext4),
            formula(image, STATE_IMAGES, STATE_MORE).ok(),
        ];
        let recovery = [
            with_ext4(payload),
            formula(payload, RECOVERY_PAYLOADS, RECOVERY_MORE).ok(),
        ];
        self.check(Role::State, state)?;
        self.check(Role::Recovery, recovery)
    }

    /// One of two bounds must hold: the second is the size that a new disk would get.
    fn check(&self, role: Role, bounds: [Option<Bytes>; 2]) -> Result<(), NoRoom> {
        let need = bounds.into_iter().flatten().min();
        let need = need.unwrap_or(Bytes::new(u64::MAX));
        let part = self.partition(role);
        let have = part.map_or(Bytes::ZERO, |part| part.size);
        if have >= need {
            return Ok(());
        }
        Err(NoRoom {
            name: role.partition_name().unwrap_or_default().to_owned(),
            have,
            need,
        })
    }
}

/// The smallest partition, in whole MiB, whose ext4 has room for so many bytes.
fn with_ext4(content: Bytes) -> Option<Bytes> {
    let share = Bytes::new(content.get() / EXT4_SHARE);
    let all = content.checked_add(share)?.checked_add(EXT4_MORE)?;
    all.align_up(Bytes::MIB)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{Geometry, SectorSize, Wanted};

    fn layout(image: u32, payload: u32) -> Layout {
        let mut ids = (1..).map(Uuid::from_u128);
        Wanted::new(Bytes::mib(image), Bytes::mib(payload))
            .layout(
                Geometry {
                    size: Bytes::mib(400 * 1024),
                    sector: SectorSize::B512,
                },
                || ids.next().unwrap(),
            )
            .unwrap()
    }

    #[test]
    fn what_a_disk_was_laid_out_for_always_has_room_on_it() {
        for image in [1, 8, 700, 2048, 9000, 14_000, 40_000] {
            for payload in [1, 400, 3000, 20_000] {
                let layout = layout(image, payload);
                assert_eq!(
                    layout.room_for(Bytes::mib(image), Bytes::mib(payload)),
                    Ok(()),
                    "{image} {payload}"
                );
            }
        }
    }

    #[test]
    fn an_image_that_grew_within_the_reserve_has_room_and_one_beyond_it_has_not() {
        let layout = layout(700, 400);
        let state = layout.partition(Role::State).unwrap().size;
        assert_eq!(state, Bytes::mib(3100));
        assert_eq!(layout.room_for(Bytes::mib(950), Bytes::mib(400)), Ok(()));
        let refused = layout.room_for(Bytes::mib(970), Bytes::mib(400));
        let error = refused.unwrap_err();
        assert_eq!((error.name.as_str(), error.have), ("state", state));
        assert!(error.need > state && error.need <= Bytes::mib(3129));
        assert_eq!(
            error.to_string(),
            format!("partition state has 3100 MiB, {} are needed", error.need)
        );
    }

    #[test]
    fn a_medium_must_fit_the_recovery_partition_once() {
        let layout = layout(700, 400);
        assert_eq!(
            layout.partition(Role::Recovery).unwrap().size,
            Bytes::mib(1000)
        );
        assert_eq!(layout.room_for(Bytes::mib(700), Bytes::mib(800)), Ok(()));
        let refused = layout.room_for(Bytes::mib(700), Bytes::mib(900));
        assert_eq!(refused.unwrap_err().name, "recovery");
    }

    #[test]
    fn a_size_past_all_numbers_is_refused() {
        let all = Bytes::new(u64::MAX);
        assert!(layout(700, 400).room_for(all, all).is_err());
    }
}
