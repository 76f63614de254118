//! What a virtual machine is made of, before it is switched on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use uuid::Uuid;

use crate::firmware::Firmware;
use crate::folder::Folder;
use crate::ssh::Login;
use crate::storage::{Disk, Medium, escaped};
use crate::vm::Vm;

/// Name of the virtio serial port that carries events; `docs/interfaces.md`, "Events".
const EVENT_PORT: &str = "landfall.events";

/// Files inside the folder of a machine.
pub(crate) const SERIAL: &str = "serial.log";
pub(crate) const EVENTS: &str = "events.jsonl";
pub(crate) const QEMU_LOG: &str = "qemu.log";
pub(crate) const FIRMWARE_LOG: &str = "firmware.log";

/// A kernel that QEMU loads itself, without firmware menus and boot loaders.
#[derive(Debug, Clone)]
struct DirectKernel {
    kernel: PathBuf,
    initrd: PathBuf,
    arguments: String,
}

/// The network adapter of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nic {
    /// virtio-net.
    Virtio,
    /// VMXNET3, the paravirtual adapter of vSphere.
    Vmxnet3,
}

/// Place of the network adapter on the first PCI bus.
const NIC_SLOT: u8 = 0x10;
/// The name that Linux gives a port in that place.
pub const NIC_NAME: &str = "enp0s16";

/// Describes a machine; [`Builder::start`] switches it on.
///
/// Without further words: BIOS, 2 processors, 1024 MiB of memory, no disk, user network in which this host is
/// `10.0.2.2`, serial console, VGA, and ten minutes to live.
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    name: String,
    firmware: Firmware,
    variables: Option<PathBuf>,
    memory_mib: u32,
    uuid: Uuid,
    media: Vec<Medium>,
    kernel: Option<DirectKernel>,
    nic: Nic,
    login: Option<Login>,
    end_at_reboot: bool,
    own_boot_order: bool,
    plugged_in_reverse: bool,
    limit: Duration,
}

impl Builder {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            firmware: Firmware::Bios,
            variables: None,
            memory_mib: 1024,
            uuid: Uuid::new_v4(),
            media: Vec::new(),
            kernel: None,
            nic: Nic::Virtio,
            login: None,
            end_at_reboot: false,
            own_boot_order: false,
            plugged_in_reverse: false,
            limit: Duration::from_mins(10),
        }
    }

    /// The firmware to start with.
    pub fn firmware(mut self, firmware: Firmware) -> Self {
        self.firmware = firmware;
        self
    }

    /// Keeps the variables of a UEFI firmware in this file over several starts. A file that is not there yet is made;
    /// without this word every start has a fresh store.
    pub fn variables(mut self, file: impl Into<PathBuf>) -> Self {
        self.variables = Some(file.into());
        self
    }

    /// Memory in MiB.
    pub fn memory(mut self, mib: u32) -> Self {
        self.memory_mib = mib;
        self
    }

    /// The system UUID that DMI shows as `product_uuid`; random by default.
    pub fn uuid(mut self, uuid: Uuid) -> Self {
        self.uuid = uuid;
        self
    }

    /// Adds a disk. The firmware tries disks, CDs and sticks in the order in which they were added, and goes on to the next
    /// if one does not boot. Under BIOS only the first disk or stick counts: `SeaBIOS` tries no second one, but a CD.
    pub fn disk(mut self, disk: Disk) -> Self {
        self.media.push(Medium::Disk(disk));
        self
    }

    /// Adds a CD drive with an ISO in it.
    pub fn cdrom(mut self, iso: impl Into<PathBuf>) -> Self {
        self.media.push(Medium::Cdrom(iso.into()));
        self
    }

    /// Adds a CD drive on SCSI, for a machine that has nothing else.
    pub fn scsi_cdrom(mut self, iso: impl Into<PathBuf>) -> Self {
        self.media.push(Medium::ScsiCdrom(iso.into()));
        self
    }

    /// Another network adapter.
    pub fn nic(mut self, nic: Nic) -> Self {
        self.nic = nic;
        self
    }

    /// Adds a USB stick that an ISO was `dd`-ed to, write-protected so that the ISO stays what it is.
    pub fn usb_stick(self, iso: impl Into<PathBuf>) -> Self {
        self.disk(Disk::existing(iso).on(crate::storage::Bus::Usb).read_only())
    }

    /// Starts a Linux kernel directly.
    pub fn kernel(
        mut self,
        kernel: impl Into<PathBuf>,
        initrd: impl Into<PathBuf>,
        arguments: &str,
    ) -> Self {
        self.kernel = Some(DirectKernel {
            kernel: kernel.into(),
            initrd: initrd.into(),
            arguments: arguments.to_owned(),
        });
        self
    }

    /// Who [`Vm::ssh`] logs in as.
    pub fn login(mut self, login: Login) -> Self {
        self.login = Some(login);
        self
    }

    /// Ends the machine when the guest reboots, so that [`Vm::wait_exit`] reports it.
    pub fn end_at_reboot(mut self) -> Self {
        self.end_at_reboot = true;
        self
    }

    /// Leaves the boot order to the firmware and its variables; otherwise QEMU imposes the order of the media at every
    /// start.
    pub fn own_boot_order(mut self) -> Self {
        self.own_boot_order = true;
        self
    }

    /// Plugs the media in from the last to the first: their places on the bus are no longer the order of the firmware.
    pub fn plugged_in_reverse(mut self) -> Self {
        self.plugged_in_reverse = true;
        self
    }

    /// Hard limit for the life of the machine, in whole seconds of wall time.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Switches the machine on.
    ///
    /// # Errors
    /// A file is missing, or QEMU does not start; the message carries what QEMU said.
    pub fn start(self) -> Result<Vm> {
        let folder = Folder::new(&self.name)?;
        // Not in the machine's folder: the name of a Unix socket has at most 107 bytes.
        let sockets = tempfile::tempdir().context("making a folder for sockets")?;
        let arguments = self.arguments(folder.path(), &sockets.path().join("qmp"))?;
        Vm::launch(
            self.name, folder, sockets, &arguments, self.limit, self.login,
        )
    }

    fn arguments(&self, folder: &Path, qmp: &Path) -> Result<Vec<String>> {
        let mut arguments: Vec<String> = Vec::new();
        let mut add = |option: &str, value: String| arguments.extend([format!("-{option}"), value]);
        add("name", self.name.replace(',', ",,"));
        // Nothing that is not said here. KVM is no choice: stock kernels hang on some nested ones.
        add("machine", self.firmware.machine().to_owned());
        add("accel", "tcg,thread=multi".to_owned());
        add("cpu", "max".to_owned());
        add("smp", "2".to_owned());
        add("m", self.memory_mib.to_string());
        add("uuid", self.uuid.to_string());
        add("vga", "std".to_owned());
        add("display", "none".to_owned());
        add("qmp", format!("unix:{},server=on,wait=off", escaped(qmp)));
        add(
            "chardev",
            format!("file,id=serial,path={}", escaped(&folder.join(SERIAL))),
        );
        add("serial", "chardev:serial".to_owned());
        // Port 0x402 is where SeaBIOS says what it tries to boot; the screen forgets it.
        add(
            "chardev",
            format!(
                "file,id=firmware,path={}",
                escaped(&folder.join(FIRMWARE_LOG))
            ),
        );
        add(
            "device",
            "isa-debugcon,iobase=0x402,chardev=firmware".to_owned(),
        );
        add("device", "virtio-serial-pci".to_owned());
        add(
            "chardev",
            format!("file,id=events,path={}", escaped(&folder.join(EVENTS))),
        );
        add(
            "device",
            format!("virtserialport,chardev=events,name={EVENT_PORT}"),
        );
        add("device", "virtio-rng-pci".to_owned());
        // Port 0: the system picks a free one, so that no two tests can want the same.
        add(
            "netdev",
            "user,id=net,hostfwd=tcp:127.0.0.1:0-:22".to_owned(),
        );
        let nic = match self.nic {
            Nic::Virtio => "virtio-net-pci",
            Nic::Vmxnet3 => "vmxnet3",
        };
        add(
            "device",
            format!("{nic},netdev=net,romfile=,addr={NIC_SLOT:#x}"),
        );
        if let Some(DirectKernel {
            kernel,
            initrd,
            arguments,
        }) = &self.kernel
        {
            add("kernel", kernel.display().to_string());
            add("initrd", initrd.display().to_string());
            add("append", arguments.clone());
        }
        // From 1: boot index 0 is taken by a kernel that QEMU loads itself.
        let mut media: Vec<_> = (1..).zip(&self.media).collect();
        if self.plugged_in_reverse {
            media.reverse();
        }
        for (index, medium) in media {
            let mut medium = medium.arguments(index);
            if self.own_boot_order {
                let imposed = format!(",bootindex={index}");
                for argument in &mut medium {
                    *argument = argument.replace(&imposed, "");
                }
            }
            arguments.extend(medium);
        }
        arguments.extend(self.firmware.arguments(folder, self.variables.as_deref())?);
        arguments.push("-nodefaults".to_owned());
        if self.end_at_reboot {
            arguments.push("-no-reboot".to_owned());
        }
        Ok(arguments)
    }
}
